"""The stages of a segmentation run."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flax import linen as nn

from jaxnas.cli.latency import given_table, load_calibration, obtain_table, table_name
from jaxnas.cli.stages import speaker
from jaxnas.core.errors import UserError
from jaxnas.core.segmentation_schema import SegmentationConfig
from jaxnas.engine.labeled import LabeledDataset, open_labeled_dataset
from jaxnas.engine.logs import RunLog
from jaxnas.engine.rundir import Run
from jaxnas.models.segmentation import DERIVED, SEGMENTATION_MODELS, build_segmentation_network
from jaxnas.search.deployed import Deployment, derived_network
from jaxnas.search.profile import operation_times, profile, two_level_space
from jaxnas.spaces.genotype import Genotype, load_genotype, save_genotype

DECODED = "decoded"


@dataclass(frozen=True)
class Datasets:
    """The data of every fold that is trained; None is the config's own split."""

    by_fold: Mapping[int | None, LabeledDataset]

    @property
    def search(self) -> LabeledDataset:
        """Where a search takes place: the first."""
        return next(iter(self.by_fold.values()))


def prepare(run: Run, stages: Sequence[str], fresh: bool) -> Datasets:
    """The data of a run, once its networks are known to be trainable; writes nothing."""
    config = run.config
    check_models(config)
    if config.latency.table is not None:
        operation_times(given_table(config.latency), config, where=config.latency.table)
    if config.genotype is not None:
        two_level_space(config).check(load_genotype(config.genotype), where=config.genotype)
    if "derive" in stages:
        from jaxnas.search.derive_networks import check_paths_exist

        check_paths_exist(config.decode, two_level_space(config).grid)
    if "train" in stages and "search" not in stages:
        networks(run, fresh=fresh)
    folds = config.train.folds or (None,)
    if folds != (None,) and config.data.split.method == "fractions":
        raise UserError(
            "train.folds: only data.split.method nnunet and modulo have folds, found fractions; "
            "set one of them, or folds: null"
        )
    return Datasets(
        {fold: open_labeled_dataset(config.data, seed=config.seed, fold=fold) for fold in folds}
    )


def search(run: Run, data: Datasets, log: RunLog) -> None:
    """Measures the device, then searches cells and betas."""
    from jaxnas.search import two_level

    space, deployment = two_level_space(run.config), load_deployment(run)
    fitted = load_calibration(run, deployment)
    latency = two_level.make_latency(run.config, space, deployment.times, fitted)
    two_level.search(run, space, data.search, log, latency=latency)


def derive(run: Run, data: Datasets, log: RunLog) -> None:
    """Decodes networks out of what was searched, and measures them."""
    from jaxnas.search.derive_networks import derive_networks
    from jaxnas.search.two_level import searched_weights

    deployment = load_deployment(run)
    fitted = load_calibration(run, deployment)
    derive_networks(run, deployment, searched_weights(run), fitted, say=speaker(run))


def train(run: Run, data: Datasets, log: RunLog) -> None:
    """Trains the networks of the config, on every fold."""
    from jaxnas.engine.segmentation_training import train_all

    if run.config.genotype is not None and not run.genotype_path.exists():
        save_genotype(run.genotype_path, load_genotype(run.config.genotype))
    train_all(run, networks(run), data.by_fold, log)


def evaluate(run: Run, data: Datasets, log: RunLog) -> None:
    """Compares them on the test volumes."""
    from jaxnas.search.segmentation_evaluation import evaluate_networks

    evaluate_networks(run, networks(run), data.by_fold)


def networks(run: Run, *, fresh: bool = False) -> dict[str, nn.Module]:
    """The networks of the config by name; builds them, computes and writes nothing.

    UserError where a genotype is needed and there is none.
    """
    found: dict[str, nn.Module] = {}
    for name in run.config.train.models:
        if name == DECODED:
            genotypes = _decoded(run, fresh=fresh)
            found |= {n: derived_network(run.config, g) for n, g in genotypes.items()}
        elif name == DERIVED:
            found[name] = derived_network(run.config, _given_genotype(run))
        else:
            found[name] = build_segmentation_network(
                name, channels=run.config.network.unet_channels
            )
    return found


def check_models(config: SegmentationConfig) -> None:
    """Raises UserError for a network that does not exist."""
    known = (DECODED, DERIVED, *SEGMENTATION_MODELS)
    for name in config.train.models:
        if name not in known:
            raise UserError(
                f"train.models: unknown network {name!r}; expected one of {', '.join(known)}"
            )


def load_deployment(run: Run) -> Deployment:
    """What predicts and measures the networks of a run; measures the device if need be."""
    config = run.config
    table = obtain_table(run, functools.partial(profile, config))
    times = operation_times(table, config, where=table_name(run))
    return Deployment(config, two_level_space(config), times)


def _decoded(run: Run, *, fresh: bool) -> dict[str, Genotype]:
    from jaxnas.search.derive_networks import derived_genotypes

    if fresh:
        raise UserError(
            "train.models: decoded networks come from a search, which --fresh throws away; use "
            "jaxnas run, or train.models: [derived] with --genotype FILE"
        )
    return derived_genotypes(run)


def _given_genotype(run: Run) -> Genotype:
    given = run.config.genotype
    source: str | Path | None = given
    if given is None and run.genotype_path.exists():
        source = run.genotype_path
    if source is None:
        raise UserError(
            f"{run.path}: no genotype yet; search first (jaxnas search CONFIG) or give --genotype "
            f"FILE"
        )
    return two_level_space(run.config).check(load_genotype(source), where=str(source))
