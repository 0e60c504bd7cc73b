"""The remarks of a command beside its results: single lines of plain text on stderr.

Names come from files, so nothing in a line is markup, and what could move a terminal's cursor is
shown as an escape. No line is worth a crash: where stderr is closed or full, it is dropped.
"""

import contextlib
import sys

_said: set[str] = set()


def warn(text: str) -> None:
    """Says `jaxnas: warning: TEXT` on stderr in one line, each text once per command.

    This is the one way to say a warning: `--quiet` does not hide it, and filters of the module
    `warnings` do not reach it. Say what was found and what is done about it.
    """
    line = printable(text)
    if line not in _said:
        _said.add(line)
        tell(f"jaxnas: warning: {line}")


def forget_warnings() -> None:
    """Lets every warning be said again: another command begins."""
    _said.clear()


def tell(text: str) -> None:
    """Prints `text` on stderr, its lines kept and all other control characters escaped."""
    with contextlib.suppress(OSError, ValueError):  # full or closed
        print("\n".join(map(printable, text.split("\n"))), file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """`text` in one line: what is not printable (ANSI escapes, newlines, stray bytes of a file
    name) as Python writes it in a string."""
    return text if text.isprintable() else "".join(map(_visible, text))


def _visible(character: str) -> str:
    return character if character.isprintable() else repr(character)[1:-1]
