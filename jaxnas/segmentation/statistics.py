"""The statistics that a trained network normalises by when it is applied.

In training every step normalises by its own batch and nothing runs along. Afterwards the
statistics of many batches, all under the final weights, are put together: "precise" batch
normalisation, which owes nothing to the steps before the last.
"""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxnas.data.batches import BatchStream
from jaxnas.ops.norm import STATISTICS

Statistics = Callable[[Any, jax.Array | np.ndarray], Any]


def make_statistics(net: nn.Module) -> Statistics:
    """Returns the compiled statistics(params, images (B, H, W)) -> `batch_stats` of that batch."""
    return jax.jit(functools.partial(_statistics, net))


def precise_statistics(
    statistics: Statistics, params: Any, images: Iterable[np.ndarray]
) -> dict[str, Any]:
    """The `batch_stats` of all batches of `images` float32 (B, H, W) together, float32.

    For batches of one size, with mean mᵢ and variance vᵢ per batch: the mean is the mean of the mᵢ,
    the variance mean(vᵢ) + var(mᵢ), which is that of all values at once; without the spread of the
    mᵢ it would be too small. `{}` for a network without normalisation. ValueError without batches,
    for batches of different shapes, and for statistics other than `mean` and `variance`.
    """
    found, shapes = [], set()
    for batch in images:
        shapes.add(np.shape(batch))
        found.append(flatten_dict(jax.device_get(statistics(params, batch))))
    if len(shapes) != 1:
        raise ValueError(f"expected batches of one shape, got {sorted(shapes) or 'none'}")
    columns = {
        path: np.stack([np.asarray(batch[path], np.float64) for batch in found])
        for path in found[0]
    }
    return unflatten_dict({path: _combined(path, columns) for path in columns})


def deployed_variables(
    statistics: Statistics, params: Any, batches: BatchStream, *, count: int
) -> dict[str, Any]:
    """`params` and the `batch_stats` of the first `count` batches, without augmentation."""
    images = (batches.batch(step)["image"] for step in range(count))
    return {"params": params, STATISTICS: precise_statistics(statistics, params, images)}


def _combined(path: tuple[str, ...], columns: dict[tuple[str, ...], np.ndarray]) -> np.ndarray:
    """One statistic over all batches, from its values (N, ...) in each."""
    *place, name = path
    if name == "mean":
        value = columns[path].mean(0)
    elif name == "variance":
        value = columns[path].mean(0) + columns[*place, "mean"].var(0)
    else:
        raise ValueError(f"expected statistics called mean and variance, got {'/'.join(path)}")
    return value.astype(np.float32)


def _statistics(net: nn.Module, params: Any, images: jax.Array) -> Any:
    _, collections = net.apply(
        {"params": params}, images[..., None], train=True, mutable=[STATISTICS]
    )
    return collections.get(STATISTICS, {})
