"""`jaxnas inspect`: structure, parameters and MACs of a config's networks; trains nothing."""

from collections.abc import Sequence
from pathlib import Path

from jaxnas.core.config import load_config
from jaxnas.data.named import with_labels
from jaxnas.engine.rundir import RunDir
from jaxnas.stages.run import task_kind


def inspect_target(
    target: Path,
    *,
    overrides: Sequence[str],
    genotype: Path | None,
    supernet: bool,
    as_json: bool,
) -> None:
    """Describes the networks of a config, or of a run directory, as a table or as JSON."""
    path = RunDir(target).config.path if target.is_dir() else target
    config = with_labels(load_config(path, overrides=overrides))
    task_kind(config).inspect(config, genotype, target, supernet=supernet, as_json=as_json)
