"""The networks of a segmentation config: hand-made, given as genotypes, or decoded.

A network is a module net(x float32 (B, H, W, 1), *, train) → logits float32 (B, H, W, classes).
"""

from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxnas.core.errors import UserError
from jaxnas.data.named import config_labels
from jaxnas.engine.networks import DERIVED, model_names, models_key, settle_genotype
from jaxnas.engine.run import Run
from jaxnas.engine.rundir import GenotypeFile
from jaxnas.metrics.cost import count_cost, count_params
from jaxnas.models.costing import NetworkCost
from jaxnas.models.registry import LABEL_MODELS
from jaxnas.ops.conv import reference_lowering
from jaxnas.segmentation.deployment import two_level_network
from jaxnas.segmentation.derive import PREFIXES, derived_genotypes
from jaxnas.segmentation.profile import two_level_space
from jaxnas.segmentation.section import SegmentationConfig
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.grid import union_cells
from jaxnas.spaces.rtdnas_network import RtdnasNet


def build_segmentation_network(
    name: str,
    *,
    channels: int,
    classes: int,
    genotype: Genotype | None = None,
    stem_stride: int = 2,
    dtype: Any = jnp.float32,
) -> nn.Module:
    """The network `name` of the given width; `genotype` and `stem_stride` are of `derived`.

    ValueError for an unknown name, or for `derived` without a genotype.
    """
    if name == DERIVED:
        if genotype is None:
            raise ValueError("the derived network needs a genotype")
        return RtdnasNet(genotype, channels, classes, stem_stride, dtype=dtype)
    if name not in LABEL_MODELS:
        raise ValueError(
            f"unknown network {name!r}; expected one of {', '.join((DERIVED, *LABEL_MODELS))}"
        )
    return LABEL_MODELS[name](channels=channels, classes=classes, dtype=dtype)


def segmentation_cost(net: nn.Module, size: tuple[int, int], *, inputs: int = 1) -> NetworkCost:
    """Parameters, and operations at inference for one image of `size` pixels; no arrays."""
    image = jax.ShapeDtypeStruct((1, *size, inputs), jnp.float32)
    with reference_lowering():
        variables = jax.eval_shape(lambda x: net.init(jax.random.key(0), x, train=True), image)
        cost = count_cost(lambda v, x: net.apply(v, x, train=False), variables, image)
    return NetworkCost(count_params(variables["params"]), cost)


DECODED = "decoded"  # every network that the decoders of the config make


def known_names() -> tuple[str, ...]:
    """The networks that a config can name without giving them."""
    return (DECODED, DERIVED, *LABEL_MODELS)


def networks(run: Run, *, searched: bool = False, fresh: bool = False) -> dict[str, nn.Module]:
    """The networks of the config by name; builds them, computes and writes nothing.

    With `searched` a search of the same command is still to find some, and they are left out; with
    `fresh` what the run holds is about to go. UserError where a genotype is missing or misfits.
    """
    found: dict[str, nn.Module] = {}
    for name in model_names(run.config):
        if searched and name in (DECODED, DERIVED):
            continue
        if name in LABEL_MODELS:
            width = run.config.network.unet_channels
            dtype, classes = jnp.dtype(run.config.network.dtype), len(config_labels(run.config))
            found[name] = build_segmentation_network(
                name, channels=width, classes=classes, dtype=dtype
            )
            continue
        for own, genotype in _genotypes(run, name, fresh=fresh).items():
            found[own] = two_level_network(run.config, genotype)
    return found


def trained_as(nets: Mapping[str, nn.Module]) -> dict[str, str]:
    """The name under which each network is trained: the first of all that are the same network.

    Different sets of paths can have the same cells. What is trained depends on the cells, the data
    and the seed alone, so one training serves them all.
    """
    first: dict[Hashable, str] = {}
    return {name: first.setdefault(_identity(net), name) for name, net in nets.items()}


def keep_genotypes(run: Run) -> None:
    """Copies the genotypes that the config gives into the run, unless it has them already."""
    for name in model_names(run.config):
        if name in given_files(run.config) and not _own(run, name).exists():
            _own(run, name).write(_genotypes(run, name, fresh=False)[name])


def given_files(config: SegmentationConfig) -> dict[str, str]:
    """The files of the genotypes that a config gives, by the name of the network."""
    given = {} if config.genotype is None else {DERIVED: config.genotype}
    return given | dict(config.genotypes)


def check_models(config: SegmentationConfig) -> None:
    """Raises UserError for a network that does not exist, or a name that is not free."""
    for key, names in (
        ("genotypes", dict(config.genotypes)),
        ("decode.name", [config.decode.name]),
    ):
        for name in names:
            if name in known_names() or (name or "").startswith(PREFIXES):
                raise UserError(
                    f"{key}: {name!r} is what another network is called; choose another name"
                )
    named = dict(config.genotypes)
    if config.decode.name in named:
        raise UserError(
            f"genotypes: {config.decode.name!r} is what decode.name calls the network of this run; "
            f"choose another name"
        )
    known, key = (*known_names(), *named), models_key(config)
    for name in model_names(config):
        if name not in known:
            raise UserError(f"{key}: unknown network {name!r}; expected one of {', '.join(known)}")
        if name == DECODED and config.federated is not None:
            raise UserError(
                f"{key}: {DECODED!r} stands for several networks; expected derived, which is the "
                f"last of them, or another network"
            )


def _identity(net: nn.Module) -> Hashable:
    """Equal for networks that compute the same with the same parameters."""
    if not isinstance(net, RtdnasNet):
        return net
    cells = union_cells(net.genotype.drawn_paths())
    return cells, net.clone(genotype=replace(net.genotype, paths=None))


def _genotypes(run: Run, name: str, *, fresh: bool) -> dict[str, Genotype]:
    """The genotypes that an entry of train.models stands for, by the names of their networks."""
    if name == DECODED:
        if fresh:
            raise UserError(
                "train.models: decoded networks come from a search, which --fresh throws away; use "
                "jaxnas run, or train.models: [derived] with --genotype FILE"
            )
        return derived_genotypes(run)
    given = given_files(run.config).get(name)
    check = two_level_space(run.config).check
    return {name: settle_genotype(_own(run, name), given, check=check, fresh=fresh)}


def _own(run: Run, name: str) -> GenotypeFile:
    """The file in which a run keeps the genotype of a network."""
    return run.dir.genotype if name == DERIVED else run.dir.derived(name)
