"""The latency table of an unrolled network: what it must hold, and the numbers it becomes."""

import dataclasses
from collections import Counter
from itertools import product

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from jaxnas.core.errors import UserError
from jaxnas.engine.timing import summarize
from jaxnas.reconstruction.networks import build_network, init_variables
from jaxnas.reconstruction.profile import (
    Scan,
    part_keys,
    time_unrolled_part,
    unrolled_parts,
    unrolled_times,
)
from jaxnas.reconstruction.section import ReconstructionConfig
from jaxnas.search.latency_table import LatencyTable, make_entry
from jaxnas.spaces.registry import SPACES
from jaxnas.spaces.supernet import example_genotype
from tests.checks import PAPER_SPACES

SCAN = Scan((16, 16), 1)


def config(**network):
    network = {"channels": 4, "cells": 3, "nodes": 2, "cascades": 2} | network
    return ReconstructionConfig(network=network, latency={"stack": 2})


def table(config, scan=SCAN):
    """Part number n takes n ms."""
    entries = {
        key: make_entry(summarize([float(n)])) for n, key in enumerate(part_keys(config, scan))
    }
    return LatencyTable("cpu", "0", "default", 2, entries)


@pytest.mark.parametrize("network", [{}, {"cells": 1, "nodes": 1}, {"shared": True, "lam": 1.0}])
def test_the_parts_are_those_of_the_network(network):
    """What is outside of nodes, counted among the parameters of the network itself."""
    asked = config(**network).network
    net = build_network("derived", asked, genotype=example_genotype(asked))
    shapes = jax.eval_shape(lambda: init_variables(jax.random.key(0), net)["params"])
    found = Counter()
    for path, leaf in flatten_dict(shapes, sep="/").items():
        if "/nodes/" not in path and path.endswith("kernel"):
            found[path.split("/")[-2], *leaf.shape[-2:]] += asked.cascades if asked.shared else 1
    parts = Counter()
    for part in unrolled_parts(asked, SCAN):
        if part.name == "stems":
            parts["stem0", part.cin, part.cout] += part.count
            parts["stem1", part.cout, part.cout] += part.count
        elif part.name == "tail":
            parts["tail", part.cin, part.cout] += part.count
        elif part.name == "preprocess":
            parts["conv", part.cin, part.cout] += part.count
    assert parts == found


@pytest.mark.parametrize("space", PAPER_SPACES)
def test_every_part_finds_its_place(space):
    asked = config(space=space)
    parts = {part.name: (n, part.count) for n, part in enumerate(part_keys(asked, SCAN).values())}
    times = unrolled_times(table(asked), asked, SCAN)
    for column, name in enumerate(SPACES[space].operations):
        assert times.op_ms[column] == (0 if name == "none" else parts[name][0])
    counted = part_keys(asked, SCAN).values()
    assert times.fixed_ms == sum(n * part.count for n, part in enumerate(counted))
    assert parts["consistency_closed_form"][1] == 2 and parts["zero_filled"][1] == 1
    assert times.cells == 6


def test_what_is_measured_has_the_size_of_the_scan():
    keys = list(part_keys(config(dtype="bfloat16"), Scan((16, 24), 3)))
    assert keys[0] == "sep_conv_3x3 2x16x24x4 -> 4 bfloat16"
    assert keys[-2:] == [
        "consistency_cg8 2x16x24x3 -> 1 complex64",
        "zero_filled 2x16x24x3 -> 1 complex64",
    ]


def test_a_missing_operation_is_named():
    asked = config()
    whole = table(asked)
    key = next(key for key in whole.entries if key.startswith("dil_3_conv_3x3"))
    entries = {k: v for k, v in whole.entries.items() if k != key}
    with pytest.raises(UserError, match="dil_3_conv_3x3"):
        unrolled_times(dataclasses.replace(whole, entries=entries), asked, SCAN)


@pytest.mark.parametrize(
    ("name", "coils"), [("stems", 1), *product(("consistency", "zero_filled"), (1, 2))]
)
def test_a_part_is_timed(name, coils):
    scan = Scan((8, 8), coils)
    parts = unrolled_parts(config().network, scan)
    part = next(p for p in parts if p.name.startswith(name))
    timing = time_unrolled_part(part, scan.size, batch=2)
    assert np.isfinite(timing.p50) and 0 <= timing.p50 < 100


@pytest.mark.parametrize("coils", [1, 3])
def test_a_table_of_columns_is_none_of_points(coils):
    """Data consistency transforms both axes where points are sampled, and takes longer."""
    columns, points = (Scan((16, 16), coils, points=points) for points in (False, True))
    more = part_keys(config(), points).keys() - part_keys(config(), columns).keys()
    assert len(more) == 1 and "consistency" in min(more)
    with pytest.raises(UserError, match="consistency"):
        unrolled_times(table(config(), columns), config(), points)
    (pull,) = (p for p in unrolled_parts(config().network, points) if "consistency" in p.name)
    assert time_unrolled_part(pull, (8, 8), batch=1).p50 > 0
