"""Our programs for the workers: compiled ahead of time, with what XLA knows about them."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks.suite import SUITE
from benchmarks.timing import Prepared, peak_memory


def prepare_step(
    step: Callable[..., Any],
    state: Any,
    arguments: tuple[Any, ...],
    result: Callable[[Any], Mapping[str, Any]],
    *,
    tuning_s: float = 0.0,
) -> Prepared:
    """`state = step(state, *arguments)`, compiled and donated; the result is of the first state."""
    import jax

    compiled, facts = compile_program(jax.jit(step, donate_argnums=0), state, *arguments)
    first: dict[str, np.ndarray] = {}

    def run():
        nonlocal state
        state = jax.block_until_ready(compiled(state, *arguments))
        if not first:
            first.update(to_numpy(result(state)))

    return Prepared(run, lambda: first, facts, peak_device_memory, tuning_s)


def prepare_function(
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    result: Callable[[Any], Mapping[str, Any]],
    *,
    tuning_s: float = 0.0,
) -> Prepared:
    """`function(*arguments)`, compiled."""
    import jax

    compiled, facts = compile_program(jax.jit(function), *arguments)
    value = None

    def run():
        nonlocal value
        value = jax.block_until_ready(compiled(*arguments))

    return Prepared(run, lambda: to_numpy(result(value)), facts, peak_device_memory, tuning_s)


def compile_program(jitted: Any, *arguments: Any) -> tuple[Any, dict[str, Any]]:
    """The compiled program, and its facts: seconds of compiling, operations and bytes of a run.

    Operations are those of its convolutions and products as mathematics has them; bytes are what
    XLA expects of the program, and unknown where it has loops: it counts their bodies once.
    """
    import jax

    from jaxnas.core.runtime import return_freed_memory

    began = time.perf_counter()
    compiled = jitted.lower(*arguments).compile()
    facts = {"compile_s": time.perf_counter() - began, "version": f"jax {jax.__version__}"}
    facts["flop"] = count_flop(jitted, *arguments)
    if " while(" not in compiled.as_text():
        facts["bytes"] = compiled.cost_analysis().get("bytes accessed")
    memory = compiled.memory_analysis()
    return_freed_memory()  # as runs do; what is found out above has taken some, too
    return compiled, facts | {"scratch_mib": memory.temp_size_in_bytes / 2**20}


def count_flop(jitted: Any, *arguments: Any) -> int | None:
    """Twice the multiply-accumulates of a run; None if a loop has no length."""
    import jax

    from jaxnas.metrics.cost import count_macs
    from jaxnas.ops.conv import reference_lowering

    jax.clear_caches()  # what was traced for running would be counted as it is, and the reverse
    with reference_lowering():
        try:
            return 2 * count_macs(jitted.__wrapped__, *arguments)
        except ValueError:
            return None
        finally:
            jax.clear_caches()


def peak_device_memory() -> float:
    """The most memory so far, MiB: of this process, or of its GPU."""
    if SUITE == "cpu":
        return peak_memory()
    import jax

    return jax.local_devices()[0].memory_stats()["peak_bytes_in_use"] / 2**20


def rates_for_plans() -> tuple[Any, float]:
    """The rates of this device, by which the plan `auto` chooses, and the seconds to find them."""
    from jaxnas.engine.rates import device_rates

    began = time.perf_counter()
    return device_rates(), time.perf_counter() - began


def to_numpy(tree: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """A flat mapping of arrays on the host."""
    return {name: np.asarray(x) for name, x in tree.items()}


def flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """A tree of dicts as `prefix` + path → array."""
    from flax.traverse_util import flatten_dict

    return {prefix + name: x for name, x in flatten_dict(tree, sep="/").items()}


def unflat(arrays: Mapping[str, np.ndarray], prefix: str) -> Any:
    """The inverse of `flat`: the arrays whose name begins with `prefix`, on the device."""
    import jax.numpy as jnp
    from flax.traverse_util import unflatten_dict

    names = [name for name in arrays if name.startswith(prefix)]
    own = {name.removeprefix(prefix): jnp.asarray(arrays[name]) for name in names}
    return unflatten_dict(own, sep="/")


def draw_weights(
    shapes: Any, *, seed: int = 0, gain: float = 1.0, stacked: str | None = None
) -> dict[str, np.ndarray]:
    """Weights for a tree of ShapeDtypeStructs, by path; without compiling an initialiser.

    Kernels are normal with variance gain / fan-in; a normalisation's vectors are near one where
    they scale and near zero where they shift. Arrays whose path begins with `stacked` hold several
    layers on their first axis.
    """
    rng, weights = np.random.default_rng(seed), {}
    for name, spec in flat(shapes).items():
        noise = rng.normal(size=spec.shape)
        shape = spec.shape[1:] if stacked and name.startswith(stacked) else spec.shape
        if len(shape) > 1:
            value = noise * (gain / np.prod(shape[:-1])) ** 0.5
        else:
            value = np.exp(0.1 * noise) if name.endswith(("scale", "variance")) else 0.1 * noise
        weights[name] = np.asarray(value, np.float32)
    return weights
