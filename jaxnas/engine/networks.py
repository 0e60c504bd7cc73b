"""The networks of a run, whatever its setting: their names, the genotype that one is built from, a
trained one that is asked for, and that one as a file that runs without this library.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
from flax import linen as nn
from jax import export as jax_export

from jaxnas.core.errors import START_OVER, UserError
from jaxnas.core.files import replacing, write_json
from jaxnas.core.sections import Experiment
from jaxnas.engine.rundir import GenotypeFile
from jaxnas.engine.task import Variables
from jaxnas.spaces.genotype import Genotype, load_genotype

DERIVED = "derived"  # the network of the genotype that was found or given
PLATFORMS = ("cpu", "cuda", "tpu")


def model_names(config: Experiment) -> tuple[str, ...]:
    """The networks that a config trains, at one site or across clients, each once."""
    if config.federated is None:
        return config.train.models
    return tuple(dict.fromkeys(method.model for method in config.federated.methods))


def models_key(config: Experiment) -> str:
    """The key that names them."""
    return "train.models" if config.federated is None else "federated.methods"


class Choice(NamedTuple):
    """The names of a trained network: its model, in a federated run the label of its method and the
    client where each has weights of its own, and the fold where there are more."""

    model: str | None = None
    strategy: str | None = None
    client: str | None = None
    fold: int | None = None

    @property
    def named(self) -> str:
        """The name of the model; ValueError where it was left to the run."""
        if self.model is None:
            raise ValueError("expected a choice that names its model")
        return self.model

    def to_json(self) -> dict[str, str | int]:
        """The names that were given."""
        return {name: value for name, value in self._asdict().items() if value is not None}


class Trained(NamedTuple):
    """A trained network with its variables; `choice` names it in full."""

    choice: Choice
    net: nn.Module
    variables: Variables


def settle_genotype(
    own: GenotypeFile,
    given: str | None,
    *,
    check: Callable[..., Genotype],
    fresh: bool = False,
) -> Genotype:
    """The genotype `own` of a run if it exists (unless `fresh`), else of `given`.

    `check(genotype, where=...)` returns a genotype that the config can hold and refuses others.
    UserError then, if there is neither file, or if the two differ.
    """
    kept = own if own.exists() and not fresh else None
    source = kept or (None if given is None else GenotypeFile(Path(given)))
    if source is None:
        raise UserError(
            f"{own.path.parent}: no genotype yet; search first (jaxnas search CONFIG) or give "
            f"--genotype FILE"
        )
    genotype = check(source.read(), where=str(source))
    # A finished run does without the file that it was given.
    if kept and given and Path(given).exists() and load_genotype(given) != genotype:
        raise UserError(
            f"{given}: differs from the genotype already in {own}; leave it out to go on with that "
            f"one, or use another --workdir ({START_OVER})"
        )
    return genotype


class Artefact(NamedTuple):
    """A function with its weights, what it takes beside the free batch axis, and what to say of it.

    `arguments` are (name, dtype, shape without the batch); `facts` go into the side-car.
    """

    apply: Callable[..., jax.Array]
    arguments: tuple[tuple[str, Any, tuple[int, ...]], ...]
    facts: dict[str, Any]


def write_artefact(out: Path, artefact: Artefact) -> None:
    """Writes `out` (jax.export, weights inside) and `out`.json, which says how to call it.

    The first axis of every argument is free.
    """
    (batch,) = jax_export.symbolic_shape("b")
    exported = jax_export.export(jax.jit(artefact.apply), platforms=PLATFORMS)(
        *(jax.ShapeDtypeStruct((batch, *shape), dtype) for _, dtype, shape in artefact.arguments)
    )
    names = ", ".join(name for name, *_ in artefact.arguments)
    facts = {
        "jax": jax.__version__,
        "platforms": list(PLATFORMS),
        **artefact.facts,
        "load": f"jax.export.deserialize(open(FILE, 'rb').read()).call({names})",
    }
    with replacing(out) as temporary:  # neither without the other
        temporary.write_bytes(exported.serialize())
        write_json(out.with_name(out.name + ".json"), facts)
