"""The lowerings of the convolution primitive against one another, on the device at hand.

N independent kernels, as `vmap` over models or clients makes them: forward pass and both gradients
of every lowering of `ops.lowerings`, in turn. The last column is the one that the table of that
file chooses for this backend. Outputs must agree before anything is timed.

    python -m benchmarks.bench_conv --suite cpu
    python -m benchmarks.bench_conv --suite gpu     # larger images and batches; runs anywhere
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.bench_plans import measure

# name: kernels, batch, side, taps, dilation, input and output channels
SUITES = {
    "cpu": {
        "one 3x3": (1, 1, 64, 3, 1, 32, 32),
        "one merged 7x7": (1, 1, 64, 7, 1, 16, 48),
        "four 3x3": (4, 1, 64, 3, 1, 16, 16),
        "four merged 7x7": (4, 1, 32, 7, 1, 8, 24),
        "four 1x1": (4, 1, 64, 1, 1, 16, 16),
    },
    "gpu": {
        "one 3x3": (1, 8, 128, 3, 1, 32, 32),
        "one 3x3 of rate 3": (1, 8, 128, 3, 3, 32, 32),
        "one merged 7x7": (1, 8, 128, 7, 1, 16, 48),
        "four 3x3": (4, 8, 128, 3, 1, 32, 32),
        "four merged 7x7": (4, 8, 128, 7, 1, 16, 48),
        "four 1x1": (4, 8, 128, 1, 1, 32, 32),
        "sixteen 3x3": (16, 4, 128, 3, 1, 16, 16),
        "sixteen merged 7x7": (16, 4, 128, 7, 1, 8, 24),
    },
}
TOLERANCE = 5e-3  # relative to the largest entry; an accelerator multiplies in TF32


def make_calls(setting: tuple[int, ...]) -> dict[str, Callable]:
    """A compiled, blocking call per lowering; ValueError where they do not agree."""
    import jax
    import jax.numpy as jnp

    from jaxnas.ops.lowerings import LOWERINGS

    kernels, batch, side, taps, dilation, inputs, outputs = setting
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], (kernels, batch, side, side, inputs))
    k = jax.random.normal(keys[1], (kernels, taps, taps, inputs, outputs)) / (taps * inputs**0.5)
    dy = jax.random.normal(keys[2], (kernels, batch, side, side, outputs))
    options = {"dilation": dilation, "precision": None}
    calls, first = {}, None
    for name, (forward, gradient) in LOWERINGS.items():
        if name == "triton" and jax.default_backend() != "gpu":
            continue  # interpreted

        def run(x, k, dy, forward=forward, gradient=gradient):
            adjoint = jnp.swapaxes(k[:, ::-1, ::-1], 3, 4)
            return (
                forward(x, k, **options),
                forward(dy, adjoint, **options),
                gradient(x, dy, size=(taps, taps), **options),
            )

        compiled = jax.jit(run).lower(x, k, dy).compile()
        found = compiled(x, k, dy)
        first = first or found
        gap = max(float(jnp.abs(a - b).max() / jnp.abs(b).max()) for a, b in zip(found, first))
        if gap > TOLERANCE:
            raise ValueError(f"lowering {name} differs by {gap:.1e} in {setting}")
        calls[name] = lambda compiled=compiled: jax.block_until_ready(compiled(x, k, dy))
    return calls


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--suite", choices=SUITES, default="cpu")
    parser.add_argument("--only", nargs="+", help="names of problems")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures as JSON")
    options = parser.parse_args()
    problems = {n: s for n, s in SUITES[options.suite].items() if n in (options.only or (n,))}
    if not problems:
        sys.exit(f"--only: expected some of {', '.join(SUITES[options.suite])}")
    from jaxnas.core.runtime import keep_freed_memory

    keep_freed_memory()
    import jax

    from jaxnas.ops.lowerings import CHOICE

    chosen = CHOICE.get(jax.default_backend(), CHOICE["default"])
    rows = []
    for name, setting in problems.items():
        found = measure(make_calls(setting), options.rounds)
        if not rows:
            heads = " ".join(f"{lowering:>9s}" for lowering in found)
            print(f"{'milliseconds':20s} {heads}   chosen")
        rows.append({"name": name, "seconds": found, "chosen": chosen})
        ratio = found[chosen] / min(found.values())
        shown = " ".join(f"{1e3 * s:9.2f}" for s in found.values())
        print(f"{name:20s} {shown}   {chosen} ({ratio:.2f} of the best)", flush=True)
    if options.json:
        record = {"device": jax.devices()[0].device_kind, "jax": jax.__version__, "rows": rows}
        options.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
