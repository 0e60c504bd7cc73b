"""The search stage of a segmentation run: cells and betas, under a latency budget if there is one.

The cells of every type and the betas of the grid move together; latency shapes the alphas through
the objective of RT-DNAS (Eq. 2) and never the weights.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.core import rng
from jaxnas.core.errors import UserError
from jaxnas.core.latency_schema import ACCURACY_ALONE
from jaxnas.core.segmentation_schema import SegmentationConfig
from jaxnas.engine.augment import augment
from jaxnas.engine.checkpoint import CheckpointStore
from jaxnas.engine.clock import Clock
from jaxnas.engine.cohort import Cohort
from jaxnas.engine.groups import search_streams
from jaxnas.engine.logs import MetricWriter
from jaxnas.engine.loop import Cadence, run_loop
from jaxnas.engine.optim import make_optimizer
from jaxnas.engine.run import Run
from jaxnas.engine.segmentation import augmentation, init_segmentation
from jaxnas.engine.segmentation_losses import SEGMENTATION_LOSSES
from jaxnas.engine.step import CompiledStep
from jaxnas.ops.norm import STATISTICS
from jaxnas.search.budget import config_in_steps, search_steps
from jaxnas.search.calibration import Calibration, check_guides
from jaxnas.search.darts import make_first_order_step
from jaxnas.search.latency import (
    LatencyModel,
    OperationTimes,
    expected_latency,
    least_latency,
)
from jaxnas.search.milenas import make_milenas_step
from jaxnas.search.moves import Objective, Optimizer, SearchLoss, Step
from jaxnas.search.objective import SearchObjective
from jaxnas.search.penalty import make_objective
from jaxnas.search.state import init_search_state
from jaxnas.spaces.rtdnas import RelaxedSupernet, TwoLevelSpace
from jaxnas.spaces.rtdnas_supernet import RtdnasSupernet


@dataclass(frozen=True)
class TwoLevelSearch:
    """The parts of a search of cells and betas; a latency is reported even in one for accuracy."""

    config: SegmentationConfig
    net: RelaxedSupernet
    aim: SearchObjective
    history: "TwoLevelHistory"

    def make_step(self, w_tx: Optimizer, a_tx: Optimizer) -> Step:
        """The bilevel step of the config's method."""
        loss = supernet_loss(self.net, self.config)
        return METHODS[self.config.search.method](self.config, loss, w_tx, a_tx, self.aim.objective)

    def init(self, key: jax.Array) -> dict[str, Any]:
        """The variables `params` and `alphas` of the supernet."""
        return init_segmentation(key, self.net)

    def on_log(self, number: int, alphas: Any, row: Mapping[str, float]) -> bool:
        """Records the alphas after `number` steps; a search goes on to its end."""
        weights = jax.device_get(_relax(self.net.space, alphas))
        losses = {name: row[name] for name in ("train_loss", "valid_loss") if name in row}
        self.history.record(number, weights, losses | self.aim.facts(weights))
        return False

    def conclude(self, run: Run) -> None:
        """Writes alphas.json."""
        run.dir.alphas.write(self.history.summary())


def make_search(
    config: SegmentationConfig, space: TwoLevelSpace, aim: SearchObjective
) -> TwoLevelSearch:
    """The search of a config."""
    net = RelaxedSupernet(space, supernet(config, space))
    return TwoLevelSearch(config, net, aim, TwoLevelHistory(space))


def search(
    run: Run,
    space: TwoLevelSpace,
    cohort: Cohort,
    writer: MetricWriter,
    aim: SearchObjective,
) -> None:
    """Searches and writes alphas.json."""
    (batches,), clock = search_streams(run.config, cohort).values(), Clock()
    whole = config_in_steps(run.config, search_steps(run.config, batches.per_epoch))
    config, parts = whole.search, make_search(whole, space, aim)
    w_tx = make_optimizer(config.weights, config.steps)
    a_tx = make_optimizer(config.alphas, config.steps)
    key = rng.root_key(run.config.seed)
    variables = parts.init(rng.stream(key, "init", 0))
    key = rng.stream(key, "search", 0)
    with CheckpointStore(run.dir.checkpoints("search"), keep=2) as store:
        run_loop(
            CompiledStep(parts.make_step(w_tx, a_tx), clock),
            init_search_state(key, variables["params"], variables["alphas"], w_tx, a_tx),
            batches,
            steps=config.steps,
            store=store,
            writer=writer,
            stage="search",
            model=space.name,
            every=Cadence(log=config.check_every, checkpoint=run.config.checkpoint_every),
            on_log=lambda number, state, row: parts.on_log(number, state.alphas, row),
            host=parts.history,
            clock=clock,
            quiet=run.quiet,
        )
    parts.conclude(run)
    run.dir.record_timing("search", clock.summary())


def searched_weights(run: Run) -> dict[str, Any]:
    """The softmaxed weights at the end of a run's search, as NumPy arrays; UserError before it."""
    file = run.dir.alphas
    if not file.exists():
        raise UserError(f"{run.path}: nothing is searched yet; run jaxnas search first")
    last = file.read()["history"][-1]
    cells = {name: np.asarray(table) for name, table in last["weights"].items()}
    return {"cells": cells, "betas": np.asarray(last["betas"])}


def supernet(config: SegmentationConfig, space: TwoLevelSpace) -> RtdnasSupernet:
    """The supernet of a config."""
    return RtdnasSupernet(
        space.grid,
        space.operations,
        space.nodes,
        channels=config.search.channels,
        partial=config.search.partial,
        stem_stride=config.network.stem_stride,
        dtype=jnp.dtype(config.network.dtype),
    )


def supernet_loss(net: RelaxedSupernet, config: SegmentationConfig) -> SearchLoss:
    """Returns loss(params, alphas, batch, key), the config's loss L_a of an augmented batch."""
    variation, objective = augmentation(config), SEGMENTATION_LOSSES[config.search.loss]

    def loss(params, alphas, batch, key):
        image, label = augment(key, batch["image"], batch["label"], variation)
        logits, _ = net.apply(
            {"params": params, "alphas": alphas}, image[..., None], train=True, mutable=[STATISTICS]
        )
        return objective(logits, label)

    return loss


def make_aim(
    config: SegmentationConfig,
    space: TwoLevelSpace,
    times: OperationTimes,
    calibration: Calibration,
    *,
    where: str = "calibration",
) -> SearchObjective:
    """The objective of a config on the calibrated expected latency of Eq. 5, and that latency.

    UserError, naming `where`, for a calibration that cannot guide it; see `check_guides`.
    """
    asked = config.latency
    model = LatencyModel(cell=asked.path, layer=asked.probabilities)
    if config.search.objective != ACCURACY_ALONE:
        edges = space.cell_space.edges(space.nodes)
        fastest = least_latency(times, edges, grid=space.grid, model=model)
        check_guides(calibration, fastest, where=where)

    def latency(weights):
        return calibration.predict(expected_latency(weights, times, grid=space.grid, model=model))

    objective = make_objective(
        config.search.objective, asked, lambda alphas: latency(space.relax(alphas))
    )
    return SearchObjective(objective, latency)


class TwoLevelHistory:
    """The softmaxed weights of a search at every check; saved with the checkpoint as JSON."""

    def __init__(self, space: TwoLevelSpace) -> None:
        self.space = space
        self.records: list[dict[str, Any]] = []

    def record(self, step: int, weights: Mapping[str, Any], facts: Mapping[str, float]) -> None:
        """Adds the weights after `step` steps."""
        rounded = jax.tree.map(lambda x: np.round(np.float64(x), 6).tolist(), dict(weights))
        genotype = self.space.derive(weights).to_json()
        self.records.append(
            {
                "step": step,
                **facts,
                "weights": rounded["cells"],
                "betas": rounded["betas"],
                "genotype": genotype,
            }
        )

    def summary(self) -> dict[str, Any]:
        """The content of alphas.json."""
        edges = [list(edge) for edge in self.space.cell_space.edges(self.space.nodes)]
        return {
            "space": self.space.name,
            "operations": list(self.space.operations),
            "cells": dict.fromkeys(self.space.cell_space.cells, edges),
            "history": self.records,
        }

    def to_json(self) -> dict[str, Any]:
        """The state that must survive a restart."""
        return {"records": self.records}

    def from_json(self, value: Mapping[str, Any]) -> None:
        """Takes the records back, replacing its own."""
        self.records = list(value["records"])


def _darts(config, loss, w_tx: Optimizer, a_tx: Optimizer, objective: Objective) -> Step:
    warmup = config.search.warmup
    return make_first_order_step(loss, w_tx, a_tx, warmup=warmup, objective=objective)


def _milenas(config, loss, w_tx: Optimizer, a_tx: Optimizer, objective: Objective) -> Step:
    asked = config.search
    return make_milenas_step(
        loss,
        w_tx,
        a_tx,
        w_train=asked.w_train,
        w_val=asked.w_val,
        update=asked.update,
        warmup=asked.warmup,
        objective=objective,
    )


METHODS = {"darts": _darts, "milenas": _milenas}


@functools.partial(jax.jit, static_argnums=0)
def _relax(space: TwoLevelSpace, alphas: Any) -> dict[str, Any]:
    return space.relax(alphas)
