"""`jaxnas decode`: networks out of a finished search, by any method."""

from collections.abc import Sequence
from pathlib import Path

from jaxnas.core.console import show
from jaxnas.core.errors import UserError
from jaxnas.core.files import check_output_folder
from jaxnas.engine.run import open_run
from jaxnas.search.device import load_calibration
from jaxnas.search.section import DecodeConfig
from jaxnas.segmentation.deployment import load_deployment
from jaxnas.segmentation.derive import decoded_networks
from jaxnas.segmentation.task import searched_weights
from jaxnas.spaces.genotype import save_genotype


def decode_run(
    run_dir: Path,
    *,
    method: str,
    paths: Sequence[int],
    budgets: Sequence[float],
    draws: int | None,
    out: Path | None,
) -> None:
    """Decodes, measures and prints networks; writes their genotypes to `out`, by default the
    folder `decoded` of the run."""
    run = open_run(run_dir, quiet=True)
    if run.config.task != "segmentation":
        raise UserError(f"{run.path}: is a run of task {run.config.task}, which has no paths")
    for budget in budgets:
        if not budget > 0:
            raise UserError(f"--budget: expected milliseconds above 0, found {budget:g}")
    asked = run.config.decode
    chosen = DecodeConfig.model_validate(
        {
            "methods": (method,),
            "paths": tuple(paths) or asked.paths,
            "budgets_ms": tuple(budgets) or asked.budgets_ms,
            "pool": max([asked.pool, *paths]),
            "population": asked.population,
            "generations": asked.generations,
            "draws": draws or asked.draws,
        }
    )
    # Not the folder of the derive stage: its genotypes belong to networks that are trained.
    folder = out or run.path / "decoded"
    check_output_folder(folder)
    deployment = load_deployment(run)
    fitted = load_calibration(run, deployment)
    weights = searched_weights(run)
    for network in decoded_networks(chosen, deployment, weights, fitted, run.config.seed):
        path = save_genotype(folder / f"{network.name}.json", network.genotype)
        show(
            f"{path}: {len(network.genotype.drawn_paths())} paths, predicted "
            f"{network.predicted_ms:.2f} ms, measured {network.measured_ms:.2f} ms"
        )
