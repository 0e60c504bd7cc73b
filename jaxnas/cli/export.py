"""`jaxnas export`: a trained network as one file that runs without this library."""

from pathlib import Path

import jax
import jax.numpy as jnp
from jax import export as jax_export

from jaxnas.cli.trained import Choice, check_reconstruction, image_of, load_trained
from jaxnas.core.errors import UserError
from jaxnas.core.files import write_atomic, write_json
from jaxnas.engine.rundir import open_run
from jaxnas.mri.acquisition import measure

PLATFORMS = ("cpu", "cuda", "tpu")


def export(run_dir: Path, out: Path, choice: Choice) -> None:
    """Writes `out` (jax.export, weights inside) and `out`.json, which says how to call it.

    The function maps kspace complex64 (B, H, W) and mask float32 (B, 1, W) to the complex64 image
    in the units of kspace; B is free, H and W are those of the run's data. Scaling is inside.
    """
    run = open_run(run_dir, quiet=True)
    check_reconstruction(run)
    net, params, acquisition = load_trained(run, choice)
    (height, width), coils = image_of(run)
    if coils > 1:
        raise UserError(f"{run_dir}: export knows single-coil networks, found {coils} coils")

    def apply(kspace, mask):
        measurement = measure(kspace, mask, None, peak=acquisition.peak)
        return net.apply({"params": params}, measurement) / measurement.scale[:, None, None]

    (batch,) = jax_export.symbolic_shape("b")
    exported = jax_export.export(jax.jit(apply), platforms=PLATFORMS)(
        jax.ShapeDtypeStruct((batch, height, width), jnp.complex64),
        jax.ShapeDtypeStruct((batch, 1, width), jnp.float32),
    )
    write_atomic(out, exported.serialize())
    write_json(
        out.with_name(out.name + ".json"),
        {
            **choice.to_json(),
            "jax": jax.__version__,
            "platforms": list(PLATFORMS),
            "inputs": {
                "kspace": f"complex64 (b, {height}, {width}), centred, unitary, 0 where unsampled",
                "mask": f"float32 (b, 1, {width}), 1 where sampled",
            },
            "output": f"complex64 (b, {height}, {width}), in the units of kspace",
            "load": "jax.export.deserialize(open(FILE, 'rb').read()).call(kspace, mask)",
        },
    )
