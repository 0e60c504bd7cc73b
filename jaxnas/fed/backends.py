"""One local step of several clients: `vmap`, `map` or `loop`, with the same numbers.

`vmap` computes the clients of a chunk together, `map` one after the other in one program, and
`loop` calls the program of a single client for one at a time.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxnas.engine.step import StepMetrics, check_unchanged, make_step_metrics
from jaxnas.fed.feed import StatePart
from jaxnas.fed.placement import Placement
from jaxnas.fed.program import Program

CPU_CHUNK = 4

One = Callable[..., tuple[Any, StepMetrics]]  # of state, batch, own, broadcast


def vmap(one: One) -> One:
    """All clients at once."""
    return jax.vmap(one, in_axes=(0, 0, 0, None))


def map_(one: One) -> One:
    """One client after the other, in one program."""
    return lambda states, batches, owns, broadcast: jax.lax.map(
        lambda client: one(*client, broadcast), (states, batches, owns)
    )


def loop(one: One) -> One:
    """The only client of a stack of one."""
    return lambda states, batches, owns, broadcast: _stack(
        one(*_unstack((states, batches, owns)), broadcast)
    )


BACKENDS: dict[str, Callable[[One], One]] = {"vmap": vmap, "map": map_, "loop": loop}


class Backend:
    """The compiled local step of a chunk, and the form in which it keeps the clients' states.

    That form is a stack (k, ...), except for `loop` on one device: there it is the state of the
    one client itself, so that the program is, to the bit, the one of a central run.
    """

    def __init__(self, program: Program, name: str, placement: Placement) -> None:
        self._place = placement
        self._loops = name == "loop"
        self._alone = self._loops and placement.devices == 1
        self._step = _jitted_step(program, name, placement.devices)

    def chunk_size(self, wanted: int | None, clients: int) -> int:
        """Of `clients` those in a chunk: as `wanted`, but one on each device where they are looped
        over. None: all, and on a CPU a few, because the images of more leave its caches."""
        if self._loops:
            return self._place.devices
        if wanted is None:
            wanted = CPU_CHUNK * self._place.devices if jax.default_backend() == "cpu" else clients
        return min(wanted, clients)

    def enter(self, stack: Any) -> Any:
        """A tree of stacks (k, ...) in the form of the local steps; for use in `jax.jit`."""
        return _unstack(stack) if self._alone else stack

    def leave(self, tree: Any) -> Any:
        """The result of the local steps as a stack (k, ...); for use in `jax.jit`."""
        return _stack(tree) if self._alone else tree

    def step(
        self, states: Any, part: StatePart, owns: Any, broadcast: Any
    ) -> tuple[Any, StepMetrics]:
        """One local step of the rows that are active in `part`; the states are donated.

        `owns` are stacked like the states, `broadcast` is common to all. Rows that are not active
        stay as they are, bit by bit, with metrics of 0. Metrics have values (k, n). ValueError
        while tracing as in `Advance`.
        """
        if self._alone:
            return self._step(states, _unstack(part.batch), owns, broadcast)
        batch, active = self._place.put((part.batch, part.active))
        return self._step(states, batch, active, owns, broadcast)


@functools.lru_cache(maxsize=4)
def _jitted_step(program: Program, name: str, devices: int) -> Callable:
    """The local step to be compiled, once for all strategies whose clients run one program."""

    def one(state: Any, batch: Any, own: Any, broadcast: Any) -> tuple[Any, StepMetrics]:
        new, metrics = program.step(state, batch, own, broadcast)
        check_unchanged(state, new)
        return new, make_step_metrics(metrics)

    placement = Placement(devices)
    alone = name == "loop" and devices == 1
    step = one if alone else _sparing(placement.split(BACKENDS[name](one)))
    return placement.jit(step, out=placement.spread, donate=(0,))


def _sparing(block: One) -> Callable:
    """`block`, but only for the clients that are active, bool (k,)."""

    def step(states, batches, active, owns, broadcast):
        new, readings = block(states, batches, owns, broadcast)
        nothing = jax.tree.map(jnp.zeros_like, readings)
        return _choose(active, new, states), _choose(active, readings, nothing)

    return step


def _choose(active: jax.Array, new: Any, old: Any) -> Any:
    def choose(x: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.where(active.reshape(-1, *[1] * (x.ndim - 1)), x, y)

    return jax.tree.map(choose, new, old)


def _unstack(tree: Any) -> Any:
    return jax.tree.map(lambda x: x[0], tree)


def _stack(tree: Any) -> Any:
    return jax.tree.map(lambda x: x[None], tree)
