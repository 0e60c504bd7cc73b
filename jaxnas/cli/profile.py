"""`jaxnas profile`: the latency table of this device."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from jaxnas.core.config import load_config
from jaxnas.core.errors import UserError
from jaxnas.core.segmentation_schema import SegmentationConfig
from jaxnas.search.latency_table import save_table
from jaxnas.search.profile import profile as measure


def profile(config: Path, *, out: Path, overrides: Sequence[str]) -> None:
    """Times every operation that a network of the config may have, and writes the table."""
    resolved = load_config(config, overrides=overrides)
    if not isinstance(resolved, SegmentationConfig):
        raise UserError(
            f"{config}: profile measures the operations of a segmentation config, found task "
            f"{resolved.task}"
        )
    console = Console(stderr=True)
    table = measure(
        resolved,
        on_part=lambda key, timing: console.print(
            f"{timing.p50:9.3f} ms  {key}", highlight=False, soft_wrap=True
        ),
    )
    path = save_table(out, table)
    console.print(f"{path}: {len(table.entries)} operations on {table.device}", highlight=False)
