"""A trained network as it is applied: merged, and narrow where that costs no image quality."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import linen as nn

from jaxnas.data.source import Source
from jaxnas.engine.cohort import Cohort
from jaxnas.engine.networks import DERIVED
from jaxnas.engine.run import Run
from jaxnas.fed.clients import read_acquisitions
from jaxnas.mri.section import AcquisitionConfig
from jaxnas.ops.costs import device_costs
from jaxnas.reconstruction.networks import build_network
from jaxnas.reconstruction.scoring import (
    ReconstructionMethod,
    evaluate_reconstruction,
    network_reconstructor,
)
from jaxnas.reconstruction.source import open_dataset
from jaxnas.spaces.deploy import deploy_params, deployed

NARROW = "bfloat16"
BUDGET_DB = 0.01
CHECKED = 8  # slices, spread evenly over those given
_WIDE, _NARROW = "wide", "narrow"


class Applied(NamedTuple):
    """A network with its parameters, and the acquisition that it was trained for."""

    net: nn.Module
    params: Any
    acquisition: AcquisitionConfig

    def reconstructor(self) -> ReconstructionMethod:
        """The network as a reconstructor."""
        return network_reconstructor(self.net, self.params)


def acquisition_of(run: Run, client: str | None) -> AcquisitionConfig:
    """The acquisition of a run's networks, or of those of one client."""
    if run.config.federated is None:
        return run.config.acquisition
    clients = {entry.name: entry.acquisition for entry in read_acquisitions(run.dir)}
    own = run.config.acquisition if client is None else clients[client]
    # All clients scale alike, but not necessarily as the acquisition of the config does.
    first = next(iter(clients.values()))
    return own.model_copy(update={"peak": first.peak})


def image_of(run: Run) -> tuple[tuple[int, int], int]:
    """Height and width of a run's k-space, and its number of coils."""
    if run.config.federated is None:
        ref = open_dataset(run.config).source.slices[0]
    else:
        ref = read_acquisitions(run.dir)[0]
    return ref.shape, ref.coils


def deploy(applied: Applied) -> Applied:
    """The network in its deployed form, the same function up to rounding, joined as suits this
    device."""
    net, prices = applied.net, device_costs(jax.default_backend()).deployment
    params = deploy_params(net, applied.params, prices=prices)
    return applied._replace(net=deployed(net, prices=prices), params=params)


def deploy_in(
    run: Run,
    model: str,
    applied: Applied,
    *,
    precision: str | None,
    open_cohort: Callable[[], Cohort],
    client: str | None,
    log: Callable[[str], None],
) -> Applied:
    """The network `model` of a run in its deployed form.

    `precision` is what it computes in, None that of the training; data consistency stays in single
    precision. bfloat16 has to prove itself on the run's own test slices, those of `client` if its
    weights are meant: where the mean PSNR moves by more than `BUDGET_DB` the network stays in
    float32, and `log` is told.
    """
    own = run.config.network.dtype
    if precision in (None, own):
        return deploy(applied)
    network = run.config.network.model_copy(update={"dtype": precision})
    genotype = run.dir.genotype.read() if model == DERIVED else None
    other = applied._replace(net=build_network(model, network, genotype=genotype))
    if precision != NARROW:
        return deploy(other)
    change = _psnr_change(run, open_cohort(), client, applied, other)
    kept = change <= BUDGET_DB
    log(
        f"{model}: in {NARROW} the mean PSNR of the run's test slices moves by "
        f"{change:.4f} dB, {'within' if kept else 'more than'} the {BUDGET_DB:g} dB allowed; "
        f"{NARROW if kept else own} is used"
    )
    return deploy(other if kept else applied)


def psnr_change(
    wide: ReconstructionMethod,
    narrow: ReconstructionMethod,
    source: Source,
    indices: Sequence[int],
    acquisition: AcquisitionConfig,
    *,
    batch: int = 4,
) -> float:
    """The distance of the mean PSNR of `narrow` from that of `wide`, in dB, never negative.

    The largest difference over the accelerations, on at most `CHECKED` of the slices `indices` of
    `source`; infinite where an image of `narrow` is not finite. UserError as
    `evaluate_reconstruction` raises it.
    """
    spread = np.linspace(0, len(indices) - 1, min(CHECKED, len(indices))).round().astype(int)
    chosen = [indices[i] for i in spread]
    methods = {_WIDE: wide, _NARROW: narrow}
    scores = evaluate_reconstruction(methods, source, chosen, acquisition, batch=batch).slices
    changes = []
    for acceleration in {score.acceleration for score in scores}:
        psnr = {
            name: np.mean(
                [s.psnr for s in scores if (s.model, s.acceleration) == (name, acceleration)]
            )
            for name in methods
        }
        changes.append(abs(psnr[_NARROW] - psnr[_WIDE]))
    change = float(max(changes, default=np.inf))
    return change if np.isfinite(change) else float("inf")


def _psnr_change(
    run: Run, cohort: Cohort, client: str | None, wide: Applied, narrow: Applied
) -> float:
    """The change where it is largest, among the data sets the network is for."""
    first, second = (deploy(applied).reconstructor() for applied in (wide, narrow))
    return max(
        psnr_change(
            first,
            second,
            dataset.source,
            dataset.slices("test"),
            wide.acquisition,
            batch=run.config.evaluate.batch,
        )
        for name, dataset in cohort.each(lambda name, dataset: dataset).items()
        if client in (None, name)
    )
