"""Warnings: one line on stderr that no option hides, each of them once."""

import sys

_said: set[str] = set()


def warn(message: str) -> None:
    """Prints `message`, a sentence that says what was found and what was done, on stderr.

    A sentence that this process has printed already is not repeated, so whatever finds something
    may say it, however often it looks.
    """
    if message not in _said:
        _said.add(message)
        print(f"jaxnas: warning: {message}", file=sys.stderr, flush=True)
