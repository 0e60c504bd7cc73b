"""How a command leaves: its exit code, and one message instead of a traceback where the cause is
known."""

import io
import os
import sys
from collections.abc import Callable

from jaxnas.core.backend import explain_backend
from jaxnas.core.errors import Diverged, Interrupted, UserError
from jaxnas.core.notices import forget_warnings, tell
from jaxnas.core.outputs import refused, system_says

READER_LEFT = 1  # what the command line library leaves with as well


def exit_code(call: Callable[[], object]) -> int:
    """The exit code of `call`; a known error becomes one message on stderr, no traceback.

    What the operating system refuses is known, whatever was being done; a mistake in the program
    is not, and keeps its traceback.
    """
    forget_warnings()
    try:
        return _run(call)
    except (UserError, Diverged, Interrupted) as error:
        tell(f"jaxnas: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        tell("jaxnas: interrupted")
        return Interrupted.exit_code
    except BrokenPipeError:
        _drop_output()
        return READER_LEFT
    except io.UnsupportedOperation:
        raise
    except OSError as error:
        if not error.errno:
            raise
        tell(f"jaxnas: {_refusal(error)}")
        return UserError.exit_code
    except (RuntimeError, AssertionError) as error:
        message = explain_backend(error)
        if message is None:
            raise
        tell(f"jaxnas: {message}")
        return UserError.exit_code


def _run(call: Callable[[], object]) -> int:
    """The exit code of a call that ends or leaves by itself, with its output delivered."""
    code = 0
    try:
        call()
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    if sys.stdout is not None and not sys.stdout.closed:
        try:
            sys.stdout.flush()  # now, not when Python ends and nobody can speak of it
        except BrokenPipeError:
            raise
        except OSError as error:
            _drop_output()
            raise refused("standard output", error) from error
    return code


def _refusal(error: OSError) -> str:
    """What the system refused, and to which file."""
    if error.filename is None:
        return system_says(error)
    names = [str(name) for name in (error.filename, error.filename2) if name is not None]
    return f"{' -> '.join(names)}: {system_says(error)}"


def _drop_output() -> None:
    """Lets what is still buffered for stdout go nowhere: Python then ends without an error."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except (OSError, ValueError):
        sys.stdout = None
