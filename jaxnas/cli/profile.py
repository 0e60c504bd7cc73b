"""`jaxnas profile`: the latency table of this device."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

from jaxnas.cli.stages import open_cohort
from jaxnas.cli.unrolled_latency import scan_of, with_latency
from jaxnas.core.config import AnyConfig, load_config
from jaxnas.core.notices import tell
from jaxnas.core.outputs import check_output_file
from jaxnas.engine.sources import KspaceData
from jaxnas.search.latency_table import LatencyTable, save_table
from jaxnas.search.profile import profile_operations
from jaxnas.search.unrolled_profile import profile_unrolled


def profile_config(config: Path, *, out: Path, overrides: Sequence[str]) -> None:
    """Times every operation that a network of the config may have, and writes the table."""
    check_output_file(out)
    table = _measurement(load_config(config, overrides=overrides))(
        on_part=lambda key, timing: tell(f"{timing.p50:9.3f} ms  {key}"),
    )
    path = save_table(out, table)
    tell(f"{path}: {len(table.entries)} operations on {table.device}")


def _measurement(config: AnyConfig) -> Callable[..., LatencyTable]:
    """The function that measures the operations of a config, when called with `on_part`."""
    if config.task == "segmentation":
        return functools.partial(profile_operations, config)
    dataset = open_cohort(config, KspaceData()).first
    return functools.partial(profile_unrolled, with_latency(config), scan_of(config, dataset))
