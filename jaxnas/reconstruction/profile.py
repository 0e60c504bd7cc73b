"""The latency table of unrolled networks: their operations at deployed channels, and what every one
of them has besides (stems, 1×1 convolutions, tail, Fourier transforms and data consistency)."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxnas.engine.timing import Timing
from jaxnas.models.costing import abstract_measurement
from jaxnas.mri.acquisition import zero_filled
from jaxnas.mri.consistency import consistency
from jaxnas.ops.candidates import NONE, Operation
from jaxnas.reconstruction.section import ReconstructionConfig
from jaxnas.search.deployment import draw_like
from jaxnas.search.latency_table import (
    LatencyTable,
    OnPart,
    ignore_part,
    measure_table,
    op_key,
    time_in_chain,
)
from jaxnas.spaces.cell import Preprocess
from jaxnas.spaces.denoiser import stems, tail
from jaxnas.spaces.registry import SPACES
from jaxnas.spaces.section import NetworkConfig

COMPLEX = "complex64"


class Scan(NamedTuple):
    """The k-space that networks are applied to: its height and width, its number of coils, and
    whether single points of it are sampled instead of whole columns."""

    size: tuple[int, int]
    coils: int
    points: bool = False


class UnrolledTimes(NamedTuple):
    """Milliseconds of what an unrolled network is made of, at deployed channels."""

    op_ms: np.ndarray  # (O,) the operations of the space, 0 for `none`
    fixed_ms: float  # everything but the operations of cells
    cells: int  # over all cascades


class Layer(nn.Module):
    """A function that calls modules of its own, as a module."""

    function: Callable[[jax.Array], Any]

    @nn.compact
    def __call__(self, x: jax.Array) -> Any:
        """The value of the function."""
        return self.function(x)


@dataclass(frozen=True)
class UnrolledPart:
    """A part `name` that stands `count` times in a network, 0 if that is the genotype's affair.

    `make(key, x)` gives fn(variables, x) and its variables for an input like
    x (batch, *size, cin) of `dtype`, or (batch, [cin,] *size) for complex ones.
    """

    name: str
    count: int
    cin: int
    cout: int
    dtype: str
    make: Callable[[jax.Array, jax.Array], tuple[Callable, Any]]


def unrolled_parts(config: NetworkConfig, scan: Scan) -> tuple[UnrolledPart, ...]:
    """Every part that a derived network of a config may have."""
    width, joined, runs = config.channels, config.nodes * config.channels, config.cascades
    parts = [
        UnrolledPart(name, 0, width, width, config.dtype, partial(_layer, Operation(name)))
        for name in SPACES[config.space].operations
        if name != NONE
    ]
    first = Layer(partial(stems, channels=width))
    parts.append(UnrolledPart("stems", runs, 2, width, config.dtype, partial(_layer, first)))
    for cin, count in _cell_inputs(config).items():
        made = partial(_layer, Preprocess(width))
        parts.append(UnrolledPart("preprocess", runs * count, cin, width, config.dtype, made))
    last = Layer(partial(tail, features=2))
    parts.append(UnrolledPart("tail", runs, joined, 2, config.dtype, partial(_layer, last)))
    solver = "closed_form" if scan.coils == 1 else f"cg{config.cg_iterations}"
    solver += "_2d" if scan.points else ""  # both axes are transformed instead of one
    pull = partial(_consistency, config, scan)
    start = partial(_zero_filled, scan)
    coils = scan.coils
    parts.append(UnrolledPart(f"consistency_{solver}", runs, coils, 1, COMPLEX, pull))
    parts.append(UnrolledPart("zero_filled", 1, coils, 1, COMPLEX, start))
    return tuple(parts)


def part_keys(config: ReconstructionConfig, scan: Scan) -> dict[str, UnrolledPart]:
    """The parts of a config by their keys in a latency table."""
    return {
        op_key(
            part.name,
            size=scan.size,
            cin=part.cin,
            cout=part.cout,
            batch=config.timed.stack,
            dtype=part.dtype,
        ): part
        for part in unrolled_parts(config.network, scan)
    }


def profile_unrolled(
    config: ReconstructionConfig, scan: Scan, *, on_part: OnPart = ignore_part
) -> LatencyTable:
    """Times all parts on the default device; `on_part` hears of each."""
    batch = config.timed.stack

    def timings() -> Iterator[tuple[str, Timing]]:
        for key, part in part_keys(config, scan).items():
            yield key, time_unrolled_part(part, scan.size, batch=batch)

    return measure_table(timings(), batch=batch, on_part=on_part)


def time_unrolled_part(part: UnrolledPart, size: tuple[int, int], *, batch: int) -> Timing:
    """The milliseconds of one part in a chain of calls."""
    if part.dtype == COMPLEX:
        coil_axis = (part.cin,) if part.cin > 1 and part.name == "zero_filled" else ()
        shape = (batch, *coil_axis, *size)
    else:
        shape = (batch, *size, part.cin)
    x = draw_like(np.random.default_rng(0), jax.ShapeDtypeStruct(shape, jnp.dtype(part.dtype)))
    fn, variables = part.make(jax.random.key(0), x)
    return time_in_chain(fn, variables, x)


def unrolled_times(
    table: LatencyTable, config: ReconstructionConfig, scan: Scan, *, where: str = "latency table"
) -> UnrolledTimes:
    """The table as the numbers of the latency model, in ms.

    UserError naming the first operation that the table lacks.
    """
    parts = part_keys(config, scan)
    found = dict(zip(parts.values(), table.milliseconds(parts, where=where)))
    by_name = {part.name: ms for part, ms in found.items()}
    op_ms = [by_name.get(name, 0.0) for name in SPACES[config.network.space].operations]
    return UnrolledTimes(
        np.asarray(op_ms, np.float32),
        sum(part.count * ms for part, ms in found.items()),
        config.network.cells * config.network.cascades,
    )


def _cell_inputs(config: NetworkConfig) -> dict[int, int]:
    """The number of inputs of the cells of a denoiser, by the number of their channels."""
    joined = config.nodes * config.channels
    widths = [config.channels] * 2 + [joined] * config.cells  # both stems, then every cell
    return dict(Counter(widths[at + input] for at in range(config.cells) for input in (0, 1)))


def _layer(module: nn.Module, key: jax.Array, x: jax.Array) -> tuple[Callable, Any]:
    return module.apply, module.init(key, x)


def _consistency(
    config: NetworkConfig, scan: Scan, key: jax.Array, x: jax.Array
) -> tuple[Callable, Any]:
    def pull(measurement, image):
        return consistency(image, measurement, lam=config.lam, iterations=config.cg_iterations)

    return pull, _measurement(scan, x)


def _zero_filled(scan: Scan, key: jax.Array, x: jax.Array) -> tuple[Callable, Any]:
    def start(measurement, kspace):
        return zero_filled(measurement.replace(kspace=kspace))

    return start, _measurement(scan, x)


def _measurement(scan: Scan, x: jax.Array) -> Any:
    *_, height, width = x.shape
    abstract = abstract_measurement(
        (height, width), batch=len(x), coils=scan.coils, points=scan.points
    )
    return draw_like(np.random.default_rng(1), abstract)
