"""The cost model of the plans against measurement: predicted and measured times and rankings.

Forward and backward pass of one state of a mixed cell, with the edges that leave it, for every plan
of the three linear spaces at several channel counts, and for 3, 8 and 16 candidates of one support.
The plans are timed in turn; `chosen / best` is the measured time of the plan that the model chooses
over that of the fastest.

    python -m benchmarks.bench_plans
    python -m benchmarks.bench_plans --channels 8 32 --size 128
    python -m benchmarks.bench_plans --candidates --channels 16
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

EDGES = 3
# All of them, and their first 3 and 8, within 7 x 7 pixels.
CANDIDATES = (
    "std_conv_7x7",
    "sep_conv_3x3",
    "dil_3_conv_3x3",
    "std_conv_3x3",
    "std_conv_5x5",
    "dil_2_conv_3x3",
    "sep_conv_5x5",
    "sep_conv_7x7",
    "std_conv_1x1",
    "dil_2_std_conv_3x3",
    "dil_3_std_conv_3x3",
    "conv_3x1_1x3",
    "conv_5x1_1x5",
    "conv_7x1_1x7",
    "pool_conv_3x3",
    "pool_conv_5x5",
)
COUNTS = (3, 8, 16)


def make_state(operations: tuple[str, ...], plan: str, channels: int, size: int) -> Callable:
    """A compiled, blocking call: the edges that leave one state, and all gradients."""
    import jax
    import jax.numpy as jnp

    from jaxnas.ops.candidates import OPERATIONS
    from jaxnas.ops.mixed import mix

    keys = iter(jax.random.split(jax.random.key(0), 1024))
    kernels = [
        {
            name: {
                kernel: 0.1 * jax.random.normal(next(keys), spec.shape)
                for kernel, spec in OPERATIONS[name].specs(channels).items()
            }
            for name in operations
            if name in OPERATIONS
        }
        for _ in range(EDGES)
    ]
    x = jax.random.normal(next(keys), (1, size, size, channels))
    weights = jax.nn.softmax(jax.random.normal(next(keys), (EDGES, len(operations))))

    def loss(x, kernels, weights):
        ys = mix(x, kernels, weights, operations=operations, plan=plan)
        return sum(jnp.mean(y**2) for y in ys)

    compiled = jax.jit(jax.grad(loss, (0, 1, 2))).lower(x, kernels, weights).compile()
    return lambda: jax.block_until_ready(compiled(x, kernels, weights))


def measure(calls: dict[str, Callable], rounds: int) -> dict[str, float]:
    """The median seconds of blocking calls that are made in turn, after one of each."""
    times = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - began)
    return {name: statistics.median(seconds) for name, seconds in times.items()}


def compare_plans(options: argparse.Namespace) -> list[dict]:
    """A row per space and number of channels: seconds of every plan, predicted and measured."""
    from jaxnas.engine.rates import device_rates
    from jaxnas.ops.plans import ESTIMATES, plan_seconds
    from jaxnas.spaces.registry import SPACES

    rates, rows = device_rates(), []
    for space in options.spaces:
        operations = SPACES[space].operations
        for channels in options.channels:
            setting = {"pixels": options.size**2, "channels": channels, "edges": EDGES}
            predicted = plan_seconds(operations, **setting, rates=rates)
            calls = {p: make_state(operations, p, channels, options.size) for p in ESTIMATES}
            found = measure(calls, options.rounds)
            chosen = min(predicted, key=predicted.get)
            row = {
                "space": space,
                "channels": channels,
                "size": options.size,
                "predicted": predicted,
                "measured": found,
                "chosen over best": found[chosen] / min(found.values()),
            }
            rows.append(row)
            print(
                f"{space:12s} {channels:4d}  predicted {ranking(predicted)}   "
                f"measured {ranking(found)}   chosen / best {row['chosen over best']:.2f}",
                flush=True,
            )
    return rows


def ranking(seconds: dict[str, float]) -> str:
    """The plans by their time, fastest first."""
    ordered = sorted(seconds, key=seconds.get)
    return " < ".join(f"{name} {1e3 * seconds[name]:.1f} ms" for name in ordered)


def compare_candidates(options: argparse.Namespace) -> list[dict]:
    """A row per number of channels: milliseconds by the number of candidates, plan `dense`."""
    rows = []
    for channels in options.channels:
        calls = {
            str(n): make_state(CANDIDATES[:n], "dense", channels, options.size) for n in COUNTS
        }
        found = measure(calls, options.rounds)
        first = found[str(COUNTS[0])]
        rows.append({"channels": channels, "size": options.size, "measured": found})
        shown = "  ".join(f"{n}: {1e3 * s:.1f} ms ({s / first:.2f})" for n, s in found.items())
        print(f"dense, candidates at {channels} channels, {options.size} x {options.size}: {shown}")
    return rows


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    spaces = ("csmri_a", "csmri_b", "fedautomri")
    parser.add_argument("--spaces", nargs="+", default=spaces, choices=spaces)
    parser.add_argument("--channels", nargs="+", type=int, default=(8, 16, 32))
    parser.add_argument("--size", type=int, default=64, help="side of the image")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures as JSON")
    parser.add_argument("--candidates", action="store_true", help="compare 3, 8 and 16 candidates")
    options = parser.parse_args()
    from jaxnas.core.runtime import keep_freed_memory

    keep_freed_memory()
    import jax

    what = compare_candidates if options.candidates else compare_plans
    rows = what(options)
    if options.json:
        record = {"device": jax.devices()[0].device_kind, "jax": jax.__version__, "rows": rows}
        options.json.write_text(json.dumps(record, indent=2) + "\n")
    if not options.candidates and max(row["chosen over best"] for row in rows) > 1.5:
        sys.exit("the model chose a plan that is half as long again as the fastest")


if __name__ == "__main__":
    main()
