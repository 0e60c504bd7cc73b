"""The output of a command: lines and tables on stdout, a progress bar on stderr.

The only module that knows rich. Names come from files: no text is markup, none is cut short, and
what could move a terminal's cursor is shown as an escape (see `notices`).
"""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from jaxnas.core.files import STDOUT, writing
from jaxnas.core.notices import printable

UNBOUNDED = 1_000_000  # columns of an output that is no terminal: a row is a line of a file


def show(text: str) -> None:
    """Prints `text` on stdout, its lines kept."""
    with writing(STDOUT):
        print("\n".join(map(printable, text.split("\n"))))


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Prints a table on stdout; on a terminal, what does not fit is folded."""
    table = Table()
    for name in columns:
        table.add_column(Text(printable(name)), overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    console = Console()
    if not console.is_terminal:
        console.width = UNBOUNDED
    with writing(STDOUT):
        console.print(table)


def progress_bar(*, quiet: bool) -> Progress:
    """A bar of steps with a description and the field `note`, both plain text."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=Console(stderr=True),
        disable=quiet,
    )
