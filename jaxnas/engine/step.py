"""The state of a training run, the pure step that advances it, and any step compiled: donated, with
its metrics as one small array.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from jaxnas.core.rng import stream
from jaxnas.core.runtime import return_freed_memory
from jaxnas.core.trees import global_norm
from jaxnas.engine.clock import Clock

Metrics = dict[str, jax.Array]
TrainLoss = Callable[[Any, Any, jax.Array], tuple[jax.Array, Metrics]]


@struct.dataclass
class StepMetrics:
    """The metrics of a step: `values` float32 (n,), one per name.

    They are an array of their own, so that donating the state cannot take them away.
    """

    values: jax.Array | np.ndarray
    names: tuple[str, ...] = struct.field(pytree_node=False)

    def to_json(self) -> dict[str, float]:
        """Name → value; exact, since a float32 is a JSON number."""
        return dict(zip(self.names, np.asarray(self.values).tolist()))

    @classmethod
    def from_json(cls, value: Mapping[str, float]) -> "StepMetrics":
        """The readings of `to_json`."""
        return cls(np.array([*value.values()], np.float32), tuple(value))


class CompiledStep:
    """`(state, batch) -> (state, StepMetrics)`: compiled once per batch shape, state donated.

    Compiling is a phase of `clock` of its own. Raises ValueError while tracing if `step` changes
    a shape or dtype of the state, or returns a metric that is not a scalar.
    """

    def __init__(
        self,
        step: Callable[[Any, Any], tuple[Any, Mapping[str, jax.Array]]],
        clock: Clock,
    ) -> None:
        def advance(state: Any, batch: Any) -> tuple[Any, StepMetrics]:
            new, metrics = step(state, batch)
            check_unchanged(state, new)
            return new, make_step_metrics(metrics)

        self._jitted = jax.jit(advance, donate_argnums=0)
        self._compiled: dict[Any, Callable] = {}
        self._clock = clock

    def under(self, clock: Clock) -> "CompiledStep":
        """The same programs under another clock: what one of both has compiled the other runs."""
        other = copy.copy(self)
        other._clock = clock
        return other

    def __call__(self, state: Any, batch: Any) -> tuple[Any, StepMetrics]:
        """Dispatches one step; `state` is gone afterwards."""
        shapes = tuple((x.shape, x.dtype) for x in jax.tree.leaves(batch))
        if shapes not in self._compiled:
            with self._clock.phase("compile"):
                self._compiled[shapes] = self._jitted.lower(state, batch).compile()
                return_freed_memory()
        with self._clock.phase("step"):
            self._clock.steps += 1
            return self._compiled[shapes](state, jax.device_put(batch))


def make_step_metrics(metrics: Mapping[str, jax.Array]) -> StepMetrics:
    """The metrics of a step as readings; ValueError for one that is not a scalar."""
    for name, value in metrics.items():
        if jnp.shape(value) != ():
            raise ValueError(f"metric {name!r} must be a scalar, found shape {jnp.shape(value)}")
    return StepMetrics(jnp.stack([jnp.float32(v) for v in metrics.values()]), tuple(metrics))


def check_unchanged(old: Any, new: Any) -> None:
    """Raises ValueError, naming the leaf, unless two states have equal shapes and dtypes."""
    before, after = (jax.tree_util.tree_leaves_with_path(tree) for tree in (old, new))
    expected = {jax.tree_util.keystr(path): (x.shape, x.dtype) for path, x in before}
    found = {jax.tree_util.keystr(path): (x.shape, x.dtype) for path, x in after}
    for name in expected | found:
        if expected.get(name) != found.get(name):
            raise ValueError(
                f"a step must keep the state's arrays: {name} was {expected.get(name)}, "
                f"became {found.get(name)}"
            )


@struct.dataclass
class TrainState:
    """Everything a training run needs to go on; also the checkpoint.

    `params` and `opt_state` are pytrees, `step` an int32 scalar (steps done), `key` the typed root
    key of the run. It holds no functions, so two states of equal shape are the same pytree.
    """

    params: Any
    opt_state: optax.OptState
    step: jax.Array
    key: jax.Array


def init_train_state(key: jax.Array, params: Any, tx: optax.GradientTransformation) -> TrainState:
    """The state before the first step; `key` is the root of every random draw of the run."""
    return TrainState(params, tx.init(params), jnp.zeros((), jnp.int32), key)


def make_train_step(
    loss: TrainLoss, tx: optax.GradientTransformation
) -> Callable[[TrainState, Any], tuple[TrainState, Metrics]]:
    """Returns the pure step(state, batch) -> (state, metrics), to be jitted by its caller.

    `loss(params, batch, key)` returns a scalar and a dict of scalars; the metrics are that dict
    with `loss` and `grad_norm`. The key of step t is a pure function of (state.key, t).
    """

    def step(state: TrainState, batch: Any) -> tuple[TrainState, Metrics]:
        key = stream(state.key, "train", state.step)
        (value, metrics), gradient = jax.value_and_grad(loss, has_aux=True)(
            state.params, batch, key
        )
        updates, opt_state = tx.update(gradient, state.opt_state, state.params)
        state = replace(
            state,
            params=optax.apply_updates(state.params, updates),
            opt_state=opt_state,
            step=state.step + 1,
        )
        return state, {"loss": value, **metrics, "grad_norm": global_norm(gradient)}

    return step
