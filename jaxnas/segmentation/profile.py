"""The latency table of this device: every part of a network on the grid, timed one by one.

A part is one operation, scaling, stem or head at deployed channels.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.data.named import config_labels
from jaxnas.engine.timing import Timing
from jaxnas.search.latency import OperationTimes
from jaxnas.search.latency_table import (
    LatencyTable,
    OnPart,
    ignore_part,
    measure_table,
    op_key,
    time_in_chain,
)
from jaxnas.segmentation.section import SegmentationConfig
from jaxnas.spaces.grid import CELL_TYPES
from jaxnas.spaces.registry import TWO_LEVEL_SPACES
from jaxnas.spaces.rtdnas import TwoLevelSpace
from jaxnas.spaces.rtdnas_network import NetworkPart, network_parts


def two_level_space(config: SegmentationConfig) -> TwoLevelSpace:
    """The space of a config, with its grid and its rule of derivation."""
    network = config.network
    space = TWO_LEVEL_SPACES[network.space]
    grid = dataclasses.replace(
        space.grid, layers=network.layers, scales=network.scales, end=network.end
    )
    return dataclasses.replace(
        space,
        operations=network.operations,
        grid=grid,
        cell_topk=network.cell_topk,
        relaxation=config.search.relaxation,
    )


def deployed_parts(config: SegmentationConfig) -> tuple[NetworkPart, ...]:
    """All parts of the networks that a config may derive, at the size of its images."""
    network = config.network
    return network_parts(
        two_level_space(config),
        config.data.size,
        channels=network.channels,
        classes=len(config_labels(config)),
        stem_stride=network.stem_stride,
        dtype=jnp.dtype(network.dtype),
    )


def part_key(part: NetworkPart, *, batch: int, dtype: str) -> str:
    """The key of a part in a latency table."""
    return op_key(part.name, size=part.size, cin=part.cin, cout=part.cout, batch=batch, dtype=dtype)


def profile_operations(
    config: SegmentationConfig, *, on_part: OnPart = ignore_part
) -> LatencyTable:
    """Times all parts on the default device; `on_part` hears of each."""
    batch, dtype = config.latency.stack, config.network.dtype
    timings = (
        (part_key(part, batch=batch, dtype=dtype), time_part(part, batch=batch, dtype=dtype))
        for part in deployed_parts(config)
    )
    return measure_table(timings, batch=batch, on_part=on_part)


def time_part(part: NetworkPart, *, batch: int, dtype: str) -> Timing:
    """The milliseconds of one part in a chain of calls."""
    x = jax.random.normal(jax.random.key(0), (batch, *part.size, part.cin)).astype(dtype)
    variables = _initialised(part, x)
    options: dict[str, Any] = part.options
    return time_in_chain(lambda v, x: part.module.apply(v, x, **options), variables, x)


def operation_times(
    table: LatencyTable, config: SegmentationConfig, *, where: str = "latency table"
) -> OperationTimes:
    """The table as the arrays of the latency model, in ms.

    UserError naming the first operation that the table lacks.
    """
    space, parts = two_level_space(config), deployed_parts(config)
    batch, dtype = config.latency.stack, config.network.dtype
    keys = [part_key(part, batch=batch, dtype=dtype) for part in parts]
    found = dict(zip(parts, table.milliseconds(keys, where=where)))
    scales = space.grid.scales
    op_ms = np.zeros((scales, len(space.operations)), np.float32)
    scaling_ms = np.full((len(CELL_TYPES), scales), np.nan, np.float32)
    for part, ms in found.items():
        if part.kind == "operation":
            op_ms[part.scale, space.operations.index(part.name)] = ms
        elif part.kind == "scaling":
            scaling_ms[CELL_TYPES.index(part.name.removeprefix("scale_")), part.scale] = ms
    return OperationTimes(op_ms, scaling_ms, np.float32(_fixed(found)))


def _fixed(found: dict[NetworkPart, float]) -> float:
    """Stem and head; of several heads, one for each end, their mean."""
    kinds = ("stem", "head")
    times = [[ms for part, ms in found.items() if part.kind == kind] for kind in kinds]
    return sum(float(np.mean(own)) for own in times)


def _initialised(part: NetworkPart, x: jax.Array):
    options: dict[str, Any] = {"train": True} if part.options else {}
    return part.module.init(jax.random.key(1), x, **options)
