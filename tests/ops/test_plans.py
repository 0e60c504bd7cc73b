"""The cost model of the plans: its arithmetic against a count of the traced programs."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.metrics.cost import count_cost
from jaxnas.ops.candidates import (
    CSMRI_A_OPERATIONS,
    CSMRI_B_OPERATIONS,
    FEDAUTOMRI_OPERATIONS,
    OPERATIONS,
)
from jaxnas.ops.conv import reference_lowering
from jaxnas.ops.costs import BUILT_IN, PASSES, Rates, at, device_costs, pass_seconds
from jaxnas.ops.mixed import PLANS, mix
from jaxnas.ops.plans import cheapest_plan, plan_seconds

SPACES = {
    "csmri_a": CSMRI_A_OPERATIONS,
    "csmri_b": CSMRI_B_OPERATIONS,
    "fedautomri": FEDAUTOMRI_OPERATIONS,
}
# One multiply-add a second and nothing else counts: the seconds are the multiply-adds.
COUNTING = Rates(copy=1e30, matmul=((8, 2.0),), conv=((8, 2.0),), taps=((8, 1.0),), call=1e-30)
CPU = BUILT_IN["cpu"].training


def edge_kernels(operations, channels, key):
    """Kernels of all convolutional candidates of one edge."""
    return {
        name: {
            kernel: 0.3 * jax.random.normal(jax.random.fold_in(key, i), spec.shape)
            for kernel, spec in OPERATIONS[name].specs(channels).items()
        }
        for i, name in enumerate(operations)
        if name in OPERATIONS
    }


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("space", SPACES)
def test_the_estimate_counts_every_multiply_add(space, plan, key):
    operations, edges, shape = SPACES[space], 2, (2, 6, 5, 4)
    kernels = [edge_kernels(operations, shape[-1], key)] * edges
    weights = jnp.ones((edges, len(operations)))

    def run(x):
        with reference_lowering():
            return mix(x, kernels, weights, operations=operations, plan=plan)

    counted = count_cost(run, jnp.ones(shape)).macs
    pixels = math.prod(shape[:-1])
    found = plan_seconds(operations, pixels=pixels, channels=shape[-1], edges=edges, rates=COUNTING)
    assert found[plan] == pytest.approx(PASSES * counted, rel=1e-6)


def test_wide_convolutions_are_merged_and_separable_ones_are_not():
    """As measured on two cores, and on any device whose depthwise taps cost what products do."""
    for channels in (8, 16, 32):
        setting = {"pixels": 64**2, "channels": channels, "edges": 3, "rates": CPU}
        assert cheapest_plan(FEDAUTOMRI_OPERATIONS, **setting) == "dense"
        assert cheapest_plan(CSMRI_A_OPERATIONS, **setting) == "stack"
        assert cheapest_plan(CSMRI_B_OPERATIONS, **setting) == "stack"


def test_slow_taps_merge_separable_convolutions():
    slow = dataclasses.replace(CPU, taps=((8, 1e7),))
    assert (
        cheapest_plan(CSMRI_A_OPERATIONS, pixels=64**2, channels=16, edges=1, rates=slow) == "dense"
    )


def test_merging_is_too_dear_for_a_tiny_image():
    """Merging costs the same at any size; one pixel is cheaper than a kernel of 7 x 7."""
    setting = {"channels": 64, "edges": 1, "rates": dataclasses.replace(CPU, call=1e-12)}
    assert cheapest_plan(("std_conv_5x5", "std_conv_7x7"), pixels=10**4, **setting) == "dense"
    assert cheapest_plan(("std_conv_5x5", "std_conv_7x7"), pixels=1, **setting) == "stack"


@pytest.mark.parametrize("space", ["csmri_a", "fedautomri"])
def test_a_mixed_state_follows_the_rates(space, key):
    """The program with rates is, to the letter, that of the plan they choose."""
    operations = SPACES[space]
    x, kernels = jnp.ones((1, 32, 32, 8)), [edge_kernels(operations, 8, key)] * 2
    weights = jnp.ones((2, len(operations)))
    chosen = cheapest_plan(operations, pixels=32**2, channels=8, edges=2, rates=CPU)

    def program(plan):
        def run(x):
            return mix(x, kernels, weights, operations=operations, plan=plan)

        return str(jax.make_jaxpr(run)(x))

    by_rates, by_name = program(CPU), program(chosen)
    other = program(next(p for p in PLANS if p != chosen))
    assert by_rates == by_name != other


def test_a_state_without_convolutions_has_a_plan():
    found = cheapest_plan(("skip_connect", "none"), pixels=64, channels=4, edges=2, rates=CPU)
    assert found in PLANS


def test_rates_between_and_beyond_the_points():
    curve = ((8, 10.0), (32, 30.0))
    assert [at(curve, n) for n in (1, 8, 16, 32, 500)] == pytest.approx([10, 10, 20, 30, 30])


def test_a_pass_is_its_bytes_and_its_call():
    rates = dataclasses.replace(COUNTING, copy=8.0, call=0.5)
    assert pass_seconds(10, rates) == 10 * np.dtype(np.float32).itemsize / 8 + 0.5


@pytest.mark.parametrize("backend", ["cpu", "gpu", "tpu"])
def test_rates_survive_json(backend):
    rates = device_costs(backend).training
    assert Rates.from_json(rates.to_json()) == rates


@pytest.mark.parametrize(
    "broken",
    [
        None,
        [],
        {},
        {"matmul": [[8, 1.0]]},
        CPU.to_json() | {"conv": []},
        CPU.to_json() | {"copy": 0},
        CPU.to_json() | {"taps": [[8, math.inf]]},
        CPU.to_json() | {"call": "soon"},
    ],
)
def test_no_rates_are_refused(broken):
    with pytest.raises(ValueError, match="rates"):
        Rates.from_json(broken)
