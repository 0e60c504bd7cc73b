"""The rates of this device: measured once, kept in the user's cache folder and with every run.

A run keeps the rates it began with, so that it chooses the same plans, and computes the same bits,
wherever and whenever it goes on.
"""

import contextlib
import math
import os
import platform
import re
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxnas.core.errors import UserError
from jaxnas.core.files import read_json, write_json
from jaxnas.core.runtime import cache_folder
from jaxnas.engine.run import Run
from jaxnas.engine.timing import measure_latency
from jaxnas.ops.conv import conv2d
from jaxnas.ops.costs import BYTES, PASSES, Curve, Rates
from jaxnas.ops.depthwise import depthwise_conv2d

IMAGE = (1, 128, 128)  # what is timed on: one image of a usual size
CONV_SIZE, CONV_CHANNELS = 5, (8, 16, 48)
TAP_SIZE, TAP_CHANNELS = 3, (8, 16, 64)
COPIED = 1 << 20  # numbers
CALLS = 64
NANO = 1e-9


def run_rates(run: Run) -> Rates | None:
    """The rates that the run has recorded; those of this device where it has none yet.

    None where the config names a plan: then nothing is measured. UserError for a broken record.
    """
    if run.config.network.plan != "auto":
        return None
    file = run.dir.rates
    if file.exists():
        try:
            return Rates.from_json(file.read())
        except ValueError as error:
            raise UserError(f"{file}: {error}; delete the file to measure again") from None
    rates = device_rates()
    file.write(rates.to_json())
    return rates


def device_rates() -> Rates:
    """The cached rates of this kind of device; measured if there are none that can be read."""
    file = cache_folder() / f"rates-{_device()}.json"
    try:
        return Rates.from_json(read_json(file))
    except (UserError, ValueError):
        rates = measure_rates()
    # A home that cannot be written to costs the next run the measurement again.
    with contextlib.suppress(UserError):
        write_json(file, rates.to_json())
    return rates


def _device() -> str:
    """The kind of device, as a part of a file name; of CPUs also the make and the cores."""
    kind = jax.devices()[0].device_kind
    if jax.default_backend() == "cpu":
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        kind = f"{kind}-{platform.machine()}-{cores}"
    return re.sub(r"[^A-Za-z0-9]+", "-", f"{kind}-jax{jax.__version__}").lower()


def measure_rates() -> Rates:
    """Times the layers of `ops.costs` with both their gradients; some seconds."""
    return Rates(
        copy=_copy_rate(),
        matmul=_curve(CONV_CHANNELS, lambda n: 2 * _layer_rate(conv2d, (1, 1, n, n))),
        conv=_curve(CONV_CHANNELS, lambda n: 2 * _layer_rate(conv2d, (CONV_SIZE, CONV_SIZE, n, n))),
        taps=_curve(TAP_CHANNELS, lambda n: _layer_rate(depthwise_conv2d, (TAP_SIZE, TAP_SIZE, n))),
        call=_call_seconds(),
    )


def _curve(channels: tuple[int, ...], rate: Callable[[int], float]) -> Curve:
    return tuple((n, rate(n)) for n in channels)


def _layer_rate(layer: Callable, shape: tuple[int, ...]) -> float:
    """Multiply-adds per second of a layer with that kernel and its two gradients."""

    @jax.jit
    def run(x, kernel, dy):
        y, pull = jax.vjp(layer, x, kernel)
        return y, pull(dy)

    x, kernel = jnp.ones((*IMAGE, shape[-1])), jnp.ones(shape)
    return PASSES * math.prod(IMAGE) * kernel.size / _seconds(run, x, kernel, x)


def _copy_rate() -> float:
    """Bytes per second, those read and those written."""
    return 2 * BYTES * COPIED / _seconds(jax.jit(lambda x: x + 1), jnp.ones(COPIED))


def _call_seconds() -> float:
    """The time of one small product in a chain of them: nothing is to be had but its dispatch."""

    @jax.jit
    def chain(x):
        for _ in range(CALLS):
            x = jnp.dot(x, x)
        return x

    return _seconds(chain, jnp.eye(8)) / CALLS


def _seconds(run: Callable, *args: jax.Array) -> float:
    """The shortest of some calls: whatever else the machine does only makes them longer."""
    timing = measure_latency(run, [args], warmup_s=0.0, warmup_calls=1, min_calls=5, min_s=0.05)
    return max(timing.min * 1e-3, NANO)
