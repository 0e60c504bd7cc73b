"""A federated round, written once: local steps at every client that takes part, then the average.

Strategies fill its gaps (`fed.strategies`), programs are the local step (`fed.program`), backends
say how clients share a device (`fed.backends`), and all of them meet in `fed.exchange`.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.data.batches import prefetch
from jaxnas.engine.clock import Clock
from jaxnas.engine.loop import STEPS_AHEAD
from jaxnas.engine.step import StepMetrics
from jaxnas.fed.backends import Backend
from jaxnas.fed.exchange import Exchange, Report, RoundAccumulator
from jaxnas.fed.feed import Chunk, Feed, RoundData, StatePart, make_chunks
from jaxnas.fed.participation import (
    check_outcome,
    check_weights,
    draw_participants,
    make_outcome,
    make_row,
    normalised,
)
from jaxnas.fed.placement import Placement
from jaxnas.fed.program import Program
from jaxnas.fed.section import RoundsConfig
from jaxnas.fed.state import FedState, ModelTree, leaf_paths
from jaxnas.fed.strategy import Broadcast, Strategy, Traffic, measure_traffic


class _Common(NamedTuple):
    """The facts that all chunks of a round have in common.

    start: int32, the step of the optimisers' schedules at which clients begin.
    shares, rates: float32 (C + 1,), the weights in the average and the sums of the learning rates;
      the last, 0, are for rows that only fill up. There are rates where a strategy needs them.
    compared: what local steps compare with, the broadcast where there is a penalty.
    """

    start: np.int32
    shares: np.ndarray
    rates: np.ndarray
    broadcast: Broadcast
    compared: Broadcast | dict[str, Any]


class Federation:
    """The step of `run_loop` for a federated run: one call is one round.

    Every client begins round r at step r · max(steps) of the optimisers' schedules and of its
    draws, so that clients of unequal size reach the end of a schedule together: make optimisers
    for rounds · max(steps) steps.

    `names` and `weights` (C,) are those of the clients. Of `config` it follows participation,
    optimizer, bad_update, backend, chunk and devices. UserError if a chunk cannot be divided
    among the devices, if there are too few of these, or for weights that cannot be averaged with;
    ValueError for a strategy that needs learning rates of a program without any.
    """

    def __init__(
        self,
        program: Program,
        strategy: Strategy,
        *,
        names: Sequence[str],
        weights: np.ndarray,
        config: RoundsConfig,
        seed: int,
        clock: Clock | None = None,
    ) -> None:
        self.strategy, self.names, self.config, self.seed = strategy, tuple(names), config, seed
        self.weights = check_weights(weights, names, fraction=config.participation)
        self.clock = clock or Clock()
        self._check_chunk()
        if strategy.client_update is not None and program.rate is None:
            raise ValueError(
                "the strategy needs the learning rates of local steps, found a program without; "
                "expected one such as training_program(..., rate=schedule)"
            )
        rate = None if strategy.client_update is None else program.rate
        self._schedule = None if rate is None else jax.jit(jax.vmap(rate))
        self._place = Placement(config.devices)
        self._backend = Backend(program, config.backend, self._place)
        self._compile(Exchange(program, strategy, len(names), config.optimizer == "keep"))
        self._traffic: Traffic | None = None
        self._seen: set[Any] = set()

    @property
    def clients(self) -> int:
        """The number of clients, C."""
        return len(self.names)

    @property
    def traffic(self) -> Traffic:
        """Bytes per participating client and round; ValueError before `init` has seen a model."""
        if self._traffic is None:
            raise ValueError("the traffic depends on the model: call init first")
        return self._traffic

    def participants(self, number: int) -> np.ndarray:
        """The clients of round `number`, ascending, int (n,); a pure function of (seed, round)."""
        return draw_participants(
            self.seed, number, clients=self.clients, fraction=self.config.participation
        )

    def init(self, key: jax.Array, model: ModelTree) -> FedState:
        """The state before round 0: every client has `model`; `key` is the run's root key.

        UserError if a pattern of the strategy matches no leaf.
        """
        self.strategy.shared.check(leaf_paths(model))
        state = self._init(key, model)
        self._traffic = measure_traffic(self.strategy, state.server, clients=self.clients)
        return state

    def client_model(self, state: FedState, client: int) -> ModelTree:
        """The whole model that a client would use now: what it would begin a round with."""
        return self._model(state.server, state.held, client)

    def __call__(self, state: FedState, data: RoundData) -> tuple[FedState, StepMetrics]:
        """One round; `state` is gone afterwards.

        The metrics are those of the program, each a mean over the local steps of a client, then
        over the clients with the weights of the average; `<metric>/<client>` for every client
        that took part and is finite; and `dropped`, the number of others, under `bad_update:
        drop`.

        Raises Diverged, naming clients and round, for an update that is not finite under
        `bad_update: stop`, or if none is left; and ValueError for the data of another round.
        """
        number, steps = int(state.round), np.asarray(data.steps)
        self._check_data(data.number, number, steps)
        clients = self.participants(number)
        size = self._backend.chunk_size(self.config.chunk, len(clients))
        chunks = make_chunks(clients, steps, size=size, multiple=self._place.devices)

        with self._phase("open"):
            common = self._common(state, clients, steps)
            average, memory = self._open(state.server, state.memory)
            accumulator = RoundAccumulator(average, memory, state.held, state.optim)
        feed, reports = Feed(data, chunks), []
        with closing(prefetch(feed, 0, len(feed))) as stream:
            for chunk in chunks:
                accumulator, report = self._train(state, accumulator, chunk, common, stream)
                reports.append(report)
        with self._phase("server update"):
            share = np.float32(self.weights[clients].sum() / self.weights.sum())
            memory, server, done = self._server_update(
                accumulator.memory, state.server, accumulator.average, share, state.round
            )
            outcome = make_outcome(chunks, jax.device_get(reports))
        self.clock.steps += 1

        bad_update = self.config.bad_update
        about = {"names": self.names, "weights": common.shares, "bad_update": bad_update}
        check_outcome(outcome, number, **about)
        state = replace(
            state,
            server=server,
            memory=memory,
            held=accumulator.held,
            optim=accumulator.optim,
            round=done,
        )
        return state, make_row(outcome, **about)

    def _common(self, state: FedState, clients: np.ndarray, steps: np.ndarray) -> _Common:
        """The facts of a round of `clients`; `steps` int (C,) are the local steps of everybody."""
        start = np.int32(int(state.round) * steps.max())
        shares, rates = np.zeros((2, self.clients + 1), np.float32)
        shares[clients] = normalised(self.weights[clients])
        if self._schedule is not None:  # summed in float64: Σ_k η_k of every client
            each = np.float64(self._schedule(start + np.arange(steps.max(), dtype=np.int32)))
            rates[:-1] = np.cumsum(each)[steps - 1]
        broadcast = self._send(state.memory, state.server, state.round)
        # Methods without a penalty share one compiled program, whatever they are sent.
        compared = {} if self.strategy.penalty is None else broadcast
        return _Common(start, shares, rates, broadcast, compared)

    def _train(
        self,
        state: FedState,
        accumulator: RoundAccumulator,
        chunk: Chunk,
        common: _Common,
        stream: Iterator[list[StatePart]],
    ) -> tuple[RoundAccumulator, Report]:
        """All local steps of a chunk. Its states end with this call, before the next one's begin.

        Waits for the device only where it is `STEPS_AHEAD` steps behind.
        """
        rows = chunk.rows
        with self._phase("enter", len(rows)):
            kept = accumulator.held, accumulator.optim
            clients, owns = self._enter(state.key, state.server, *kept, rows, common.start)
        total, waiting = None, deque()
        for _ in range(chunk.steps.max()):
            with self.clock.phase("data"):
                parts = next(stream)
            for part in parts:
                with self._phase("step", part.shapes):
                    clients, readings = self._backend.step(clients, part, owns, common.compared)
                    total = readings if total is None else self._add(total, readings)
                    waiting.append(readings)
                    if len(waiting) > STEPS_AHEAD:
                        jax.block_until_ready(waiting.popleft())
        with self._phase("take in", len(rows)):
            shares, rates = common.shares[rows], common.rates[rows]
            return self._take_in(accumulator, clients, total, rows, shares, rates, common.broadcast)

    def _compile(self, exchange: Exchange) -> None:
        """Everything that runs on the devices; each part is traced once per shape."""
        place, backend = self._place, self._backend

        def enter(*args: Any) -> Any:
            return backend.enter(exchange.enter(*args))

        def take_in(accumulator, states, readings, *facts):
            states, readings = backend.leave((states, readings))
            return exchange.take_in(accumulator, states, readings, *facts)

        one: Any = place.everywhere  # a sharding, wherever there is a tree of arrays
        many = place.stack(exchange.clients)
        accumulator = RoundAccumulator(one, one, many, many)
        self._init = place.jit(exchange.init, out=FedState(one, one, many, many, one, one))
        self._open = place.jit(exchange.open, out=one)
        self._send = place.jit(exchange.strategy.send, out=one)
        self._enter = place.jit(enter, out=place.spread)
        self._add = place.jit(_add, out=place.spread)
        self._take_in = place.jit(take_in, out=(accumulator, one), donate=(0,))
        self._server_update = place.jit(exchange.server_update, out=one)
        # Wherever the state is: it may have been restored without a mesh, to be looked at.
        self._model = jax.jit(exchange.model)

    def _phase(self, name: str, *shape: Any) -> AbstractContextManager:
        """The clock's `compile` where something of that shape is called for the first time."""
        known = (name, shape) in self._seen
        self._seen.add((name, shape))
        return self.clock.phase("step" if known else "compile")

    def _check_chunk(self) -> None:
        chunk, devices = self.config.chunk, self.config.devices
        if chunk is not None and chunk % devices:
            raise UserError(
                f"federated.chunk: {chunk} clients cannot be divided evenly among {devices} "
                f"devices; make chunk a multiple of federated.devices"
            )

    def _check_data(self, found: int, number: int, steps: np.ndarray) -> None:
        if found != number:
            raise ValueError(f"expected the data of round {number}, found those of {found}")
        if steps.shape != (self.clients,) or steps.min() < 1:
            raise ValueError(
                f"expected steps ({self.clients},) of at least 1, one per client, found {steps}"
            )


def _add(total: StepMetrics, readings: StepMetrics) -> StepMetrics:
    return jax.tree.map(lambda a, b: a + b, total, readings)
