"""A trained network as one file that runs without this library."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax import export as jax_export

from jaxnas.core.files import replacing, write_json

PLATFORMS = ("cpu", "cuda", "tpu")


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
