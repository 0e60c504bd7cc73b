"""The networks of a reconstruction config: hand-made, and `derived`, which needs a genotype."""

from collections.abc import Iterable
from typing import Any

import jax
from flax import linen as nn

from jaxnas.core.errors import UserError
from jaxnas.core.rng import draw_variables
from jaxnas.engine.networks import DERIVED
from jaxnas.models.costing import abstract_measurement
from jaxnas.models.registry import MODELS
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.section import NetworkConfig
from jaxnas.spaces.supernet import derived_network

_INIT_SIZE = (16, 16)  # no parameter's shape depends on the image


def check_names(names: Iterable[str], *, where: str) -> None:
    """Raises UserError, naming the key `where`, for the first name that is no network."""
    for name in names:
        if name != DERIVED and name not in MODELS:
            expected = ", ".join((DERIVED, *MODELS))
            raise UserError(f"{where}: unknown network {name!r}; expected some of {expected}")


def check_coils(config: NetworkConfig, coils: int, *, where: str) -> None:
    """Raises UserError, naming `where`, for several coils without a finite λ.

    Exact data consistency inverts the coil maps, which are never exact: what they cannot explain
    would be amplified in the directions that undersampling leaves open.
    """
    if coils > 1 and config.lam is None:
        raise UserError(
            f"{where}: has {coils} coils, but network.lam is null, the noiseless limit for a "
            f"single coil; set a finite weight, such as network.lam=20, and train with it"
        )


def build_network(
    name: str, config: NetworkConfig, *, genotype: Genotype | None = None
) -> nn.Module:
    """The network `name`, a module Measurement → image complex64 (B, H, W).

    ValueError for an unknown name, or for `derived` without a genotype.
    """
    if name == DERIVED:
        if genotype is None:
            raise ValueError("the derived network needs a genotype")
        return derived_network(config, genotype)
    if name not in MODELS:
        raise ValueError(
            f"unknown network {name!r}; expected one of {', '.join((DERIVED, *MODELS))}"
        )
    channels = config.baseline_channels or config.channels
    return MODELS[name](config.model_copy(update={"channels": channels}))


def init_variables(key: jax.Array, net: nn.Module, *, coils: int = 1) -> Any:
    """The variables of `net` before training; they depend on the key alone, not on the data."""
    return draw_variables(key, net.init, abstract_measurement(_INIT_SIZE, coils=coils))
