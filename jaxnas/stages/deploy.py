"""The trained network of a run as a command deploys it: merged, and narrow where that is safe."""

import dataclasses
from collections.abc import Callable

import jax
from flax import linen as nn

from jaxnas.engine.run import Run
from jaxnas.reconstruction.networks import trainable
from jaxnas.reconstruction.precision import BUDGET_DB, psnr_change
from jaxnas.reconstruction.scoring import network_reconstructor
from jaxnas.reconstruction.source import KspaceData
from jaxnas.spaces.deploy import deploy_params, deployed
from jaxnas.spaces.joins import prices_of
from jaxnas.stages.load import Choice, Trained
from jaxnas.stages.run import open_cohort

NARROW = "bfloat16"


def deploy_in(
    run: Run,
    choice: Choice,
    trained: Trained,
    *,
    precision: str | None,
    log: Callable[[str], None],
) -> Trained:
    """The network `choice` of a run in its deployed form, the same function up to rounding.

    `precision` is what it computes in, None that of the training; data consistency stays in single
    precision. bfloat16 has to prove itself on the run's own test slices: where the mean PSNR moves
    by more than `BUDGET_DB` the network stays in float32, and `log` is told.
    """
    own = run.config.network.dtype
    if precision in (None, own):
        return deploy(trained)
    other = trained._replace(net=_in_precision(run, choice, precision))
    if precision != NARROW:
        return deploy(other)
    change = _psnr_change(run, choice, trained, other)
    kept = change <= BUDGET_DB
    log(
        f"{choice.model}: in {NARROW} the mean PSNR of the run's test slices moves by "
        f"{change:.4f} dB, {'within' if kept else 'more than'} the {BUDGET_DB:g} dB allowed; "
        f"{NARROW if kept else own} is used"
    )
    return deploy(other if kept else trained)


def deploy(trained: Trained) -> Trained:
    """The network in its deployed form, joined as suits this device."""
    net, prices = trained.net, prices_of(jax.default_backend())
    params = deploy_params(net, trained.params, prices=prices)
    return trained._replace(net=deployed(net, prices=prices), params=params)


def _in_precision(run: Run, choice: Choice, dtype: str) -> nn.Module:
    network = run.config.network.model_copy(update={"dtype": dtype})
    config = run.config.model_copy(update={"network": network})
    return trainable(dataclasses.replace(run, config=config))[choice.model]


def _psnr_change(run: Run, choice: Choice, wide: Trained, narrow: Trained) -> float:
    """The change where it is largest, among the data sets the network is for."""
    methods = [network_reconstructor(t.net, t.params) for t in map(deploy, (wide, narrow))]
    cohort = open_cohort(run.config, KspaceData())
    return max(
        psnr_change(
            *methods,
            dataset.source,
            dataset.slices("test"),
            wide.acquisition,
            batch=run.config.evaluate.batch,
        )
        for name, dataset in cohort.members.items()
        if choice.client in (None, name)
    )
