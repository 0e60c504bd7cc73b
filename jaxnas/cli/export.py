"""`jaxnas export`: a trained network as one file that runs without this library."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import export as jax_export

from jaxnas.core.errors import UserError
from jaxnas.core.files import replacing, write_json
from jaxnas.core.outputs import check_output_file
from jaxnas.data.annotation import CLASSES
from jaxnas.engine.networks import DERIVED
from jaxnas.engine.run import Run, open_run
from jaxnas.models.folding import fold_norms
from jaxnas.mri.acquisition import in_scan_units, measure
from jaxnas.mri.masks import mask_shape
from jaxnas.stages.deploy import deploy
from jaxnas.stages.load import Choice, image_of, load_segmenter, load_trained

PLATFORMS = ("cpu", "cuda", "tpu")


class Artefact(NamedTuple):
    """A function with its weights, what it takes beside the free batch axis, and what to say of it.

    `arguments` are (name, dtype, shape without the batch); `facts` go into the side-car.
    """

    apply: Callable[..., jax.Array]
    arguments: tuple[tuple[str, Any, tuple[int, ...]], ...]
    facts: dict[str, Any]


def export_run(run_dir: Path, out: Path, choice: Choice, *, fold: int | None) -> None:
    """Writes `out` (jax.export, weights inside) and `out`.json, which says how to call it.

    The first axis of every argument is free, all others are those of the run's data.
    """
    check_output_file(out)
    run = open_run(run_dir, quiet=True)
    make = _segmenter if run.config.task == "segmentation" else _reconstructor
    artefact = make(run, choice, fold)
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


def _reconstructor(run: Run, choice: Choice, fold: int | None) -> Artefact:
    """kspace complex64 (B, H, W), mask float32 (B, 1 | H, W) → complex64 image in units of kspace.

    The mask is of the shape of those it was trained with. Scaling is inside.
    """
    if fold is not None:
        raise UserError(f"--fold {fold}: a reconstruction run has no folds; leave --fold out")
    choice = choice._replace(model=choice.model or DERIVED)
    net, params, acquisition = deploy(load_trained(run, choice))
    (height, width), coils = image_of(run)
    if coils > 1:
        raise UserError(f"{run.path}: export knows single-coil networks, found {coils} coils")

    def apply(kspace, mask):
        measurement = measure(kspace, mask, None, peak=acquisition.peak)
        return in_scan_units(net.apply({"params": params}, measurement), measurement)

    rows, _ = mask_shape(acquisition.mask, (height, width))
    facts = {
        **choice.to_json(),
        "inputs": {
            "kspace": f"complex64 (b, {height}, {width}), centred, unitary, 0 where unsampled",
            "mask": f"float32 (b, {rows}, {width}), 1 where sampled",
        },
        "output": f"complex64 (b, {height}, {width}), in the units of kspace",
    }
    arguments = (("kspace", jnp.complex64, (height, width)), ("mask", jnp.float32, (rows, width)))
    return Artefact(apply, arguments, facts)


def _segmenter(run: Run, choice: Choice, fold: int | None) -> Artefact:
    """image float32 (B, h, w), prepared → logits float32 (B, h, w, classes)."""
    segmenter = load_segmenter(run, choice, fold=fold)
    data = segmenter.data
    height, width = data.size
    low, high = data.clip
    pixels = "as in the file" if data.spacing is None else f"{data.spacing:g} mm"
    variables = fold_norms(segmenter.variables)

    def apply(image):
        return segmenter.net.apply(variables, image[..., None], train=False)

    facts = {
        **choice._replace(model=segmenter.model).to_json(),
        **({} if segmenter.fold is None else {"fold": segmenter.fold}),
        "inputs": {
            "image": f"float32 (b, {height}, {width}), prepared short-axis slices of one volume"
        },
        "preparation": [
            f"clip the volume at its percentiles {low:g} and {high:g}",
            "subtract its mean, divide by its standard deviation",
            f"pixels in plane: {pixels}",
            f"crop or pad with zeros to {height} x {width} about the centre",
        ],
        "output": (
            f"float32 (b, {height}, {width}, {len(CLASSES)}), logits of {', '.join(CLASSES)}"
        ),
    }
    return Artefact(apply, (("image", jnp.float32, (height, width)),), facts)
