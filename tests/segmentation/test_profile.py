"""The latency table of a config: what it must hold, and the arrays it becomes."""

import dataclasses

import numpy as np
import pytest

from jaxnas.core.errors import UserError
from jaxnas.engine.timing import summarize
from jaxnas.search.latency_table import LatencyTable, make_entry
from jaxnas.segmentation.profile import (
    deployed_parts,
    operation_times,
    part_key,
    time_part,
    two_level_space,
)
from jaxnas.segmentation.section import SegmentationConfig

CONFIG = SegmentationConfig(
    task="segmentation",
    data={"size": (32, 32)},
    network={"layers": 3, "scales": 2, "channels": 4, "operations": ("skip_connect", "conv_3x3")},
    latency={"stack": 2},
)


def table(config):
    """Part number n takes n ms."""
    keys = [part_key(part, batch=2, dtype="float32") for part in deployed_parts(config)]
    entries = {key: make_entry(summarize([float(n)])) for n, key in enumerate(keys)}
    return LatencyTable("cpu", "0", "default", 2, entries)


def test_every_part_finds_its_place():
    parts, times = deployed_parts(CONFIG), operation_times(table(CONFIG), CONFIG)
    place = {(part.kind, part.name, part.scale): n for n, part in enumerate(parts)}
    assert len(place) == len(parts) == 1 + 2 * 2 + 4 + 1
    for scale in range(2):
        for column, name in enumerate(two_level_space(CONFIG).operations):
            assert times.op_ms[scale, column] == place["operation", name, scale]
    assert times.scaling_ms[1, 0] == place["scaling", "scale_keep", 0]
    assert times.scaling_ms[2, 0] == place["scaling", "scale_contract", 0]
    assert times.scaling_ms[0, 1] == place["scaling", "scale_expand", 1]
    assert np.isnan(times.scaling_ms[0, 0]) and np.isnan(times.scaling_ms[2, 1])
    assert times.fixed_ms == place["stem", "stem_stride2", 0] + place["head", "head_double1", 0]


def test_heads_of_several_ends_are_averaged():
    config = CONFIG.model_copy(update={"network": CONFIG.network.model_copy(update={"end": "any"})})
    parts = deployed_parts(config)
    heads = [n for n, part in enumerate(parts) if part.kind == "head"]
    assert len(heads) == 2
    assert operation_times(table(config), config).fixed_ms == 0 + np.mean(heads)


def test_a_missing_part_is_named():
    whole = table(CONFIG)
    key = next(key for key in whole.entries if key.startswith("scale_expand"))
    entries = {k: v for k, v in whole.entries.items() if k != key}
    with pytest.raises(UserError, match="scale_expand"):
        operation_times(dataclasses.replace(whole, entries=entries), CONFIG)


def test_a_part_is_timed():
    part = next(p for p in deployed_parts(CONFIG) if p.name == "conv_3x3" and p.scale == 1)
    timing = time_part(part, batch=2, dtype="float32")
    assert timing.n >= 5 and 0 < timing.p50 < 100
