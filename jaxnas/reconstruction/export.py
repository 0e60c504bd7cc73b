"""A trained reconstruction network as an artefact."""

from typing import Any

import jax.numpy as jnp

from jaxnas.core.errors import UserError
from jaxnas.engine.networks import Artefact, Trained
from jaxnas.engine.run import Run
from jaxnas.mri.acquisition import in_scan_units, measure
from jaxnas.mri.masks import mask_shape
from jaxnas.reconstruction.deploy import Applied, acquisition_of, deploy, image_of


def reconstruction_artefact(run: Run, trained: Trained) -> Artefact:
    """kspace complex64 (B, H, W), mask float32 (B, 1 | H, W) → complex64 image in units of kspace.

    H and W are those of the run's data, the mask is of the shape of those it was trained with.
    Scaling is inside.
    """
    acquisition = acquisition_of(run, trained.choice.client)
    net, params, _ = deploy(Applied(trained.net, trained.variables["params"], acquisition))
    (height, width), coils = image_of(run)
    if coils > 1:
        raise UserError(f"{run.path}: export knows single-coil networks, found {coils} coils")

    def apply(kspace, mask):
        measurement = measure(kspace, mask, None, peak=acquisition.peak)
        image: Any = net.apply({"params": params}, measurement)
        return in_scan_units(image, measurement)

    rows, _ = mask_shape(acquisition.mask, (height, width))
    facts = {
        **trained.choice.to_json(),
        "inputs": {
            "kspace": f"complex64 (b, {height}, {width}), centred, unitary, 0 where unsampled",
            "mask": f"float32 (b, {rows}, {width}), 1 where sampled",
        },
        "output": f"complex64 (b, {height}, {width}), in the units of kspace",
    }
    arguments = (("kspace", jnp.complex64, (height, width)), ("mask", jnp.float32, (rows, width)))
    return Artefact(apply, arguments, facts)
