"""A trained segmentation network as an artefact."""

from typing import Any

import jax.numpy as jnp

from jaxnas.data.named import config_labels
from jaxnas.engine.networks import Artefact, Trained
from jaxnas.engine.run import Run
from jaxnas.ops.norm import fold_norms
from jaxnas.segmentation.apply import data_of


def segmentation_artefact(run: Run, trained: Trained) -> Artefact:
    """image float32 (B, h, w), prepared → logits float32 (B, h, w, classes)."""
    data, labels = data_of(run, trained.choice.client), config_labels(run.config)
    height, width = data.size
    low, high = data.clip
    pixels = "as in the file" if data.spacing is None else f"{data.spacing:g} mm"
    variables = fold_norms(trained.variables)

    def apply(image) -> Any:
        return trained.net.apply(variables, image[..., None], train=False)

    facts = {
        **trained.choice.to_json(),
        "inputs": {"image": f"float32 (b, {height}, {width}), prepared slices of one volume"},
        "preparation": [
            f"clip the volume at its percentiles {low:g} and {high:g}",
            "subtract its mean, divide by its standard deviation",
            f"pixels in plane: {pixels}",
            f"crop or pad with zeros to {height} x {width} about the centre",
        ],
        "output": f"float32 (b, {height}, {width}, {len(labels)}), logits of {', '.join(labels)}",
    }
    return Artefact(apply, (("image", jnp.float32, (height, width)),), facts)
