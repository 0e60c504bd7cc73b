"""The three ways a run ends early, each with its exit code."""

from collections.abc import Iterator
from contextlib import contextmanager

# What there is to know before anybody follows the advice.
START_OVER = "--fresh starts over and deletes what this run holds"


class UserError(ValueError):
    """The user's input is wrong; the message is the whole story.

    One sentence: which file, line or key, what was found, what is expected, what to do.

    >>> import jaxnas
    >>> try:
    ...     jaxnas.make_config({"search": {"stepz": 5}})
    ... except jaxnas.UserError as error:
    ...     print(error)
    config: search.stepz: unknown key; did you mean 'steps'?
    """

    exit_code = 2


class Diverged(RuntimeError):
    """The loss became NaN or infinite; the last good state is on disk."""

    exit_code = 3


class Interrupted(RuntimeError):
    """The run was asked to stop and can be continued with the same command."""

    exit_code = 130


@contextmanager
def naming(place: str) -> Iterator[None]:
    """A block whose user errors begin with the name of a place, unless that is empty."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{place}: {error}" if place else str(error)) from None
