"""`jaxnas profile`: the latency table of this device."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from jaxnas.core.config import load_config
from jaxnas.core.files import check_output_file
from jaxnas.core.notices import tell
from jaxnas.data.named import with_labels
from jaxnas.search.latency_table import save_table
from jaxnas.stages.run import open_cohort, task_kind


def profile_config(config: Path, *, out: Path, overrides: Sequence[str]) -> None:
    """Times every operation that a network of the config may have, and writes the table."""
    check_output_file(out)
    asked = with_labels(load_config(config, overrides=overrides))
    kind = task_kind(asked)
    table = kind.profile(
        asked,
        partial(open_cohort, asked, kind.data),
        on_part=lambda key, timing: tell(f"{timing.p50:9.3f} ms  {key}"),
    )
    path = save_table(out, table)
    tell(f"{path}: {len(table.entries)} operations on {table.device}")
