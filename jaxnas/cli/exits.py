"""The end of a command: its exit code, and one message instead of a traceback where the cause is
known."""

import io
import os
import sys
from collections.abc import Callable

from jaxnas.core.errors import Diverged, Interrupted, UserError
from jaxnas.core.files import STDOUT, refused, system_says
from jaxnas.core.notices import forget_warnings, tell
from jaxnas.core.runtime import explain_backend

READER_LEFT = 1  # what the command line library leaves with as well


def exit_code(call: Callable[[], object]) -> int:
    """The exit code of `call`; a known error becomes one message on stderr, no traceback.

    What the operating system refuses is known, whatever was being done; a mistake in the program
    is not, and keeps its traceback.
    """
    forget_warnings()
    code = _code_of(call)
    try:
        if sys.stdout is not None and not sys.stdout.closed:
            sys.stdout.flush()  # now, not when Python ends and nobody can speak of it
    except OSError as error:
        _drop_output()
        if code == 0 and not isinstance(error, BrokenPipeError):
            tell(f"jaxnas: {refused(STDOUT, error)}")
            return UserError.exit_code
        return code or READER_LEFT
    return code


def print_anything() -> None:
    """Lets stdout and stderr show what their encoding does not have as an escape."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # None where the caller closed it
            stream.reconfigure(errors="backslashreplace")


def _code_of(call: Callable[[], object]) -> int:
    try:
        call()
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except (UserError, Diverged, Interrupted) as error:
        tell(f"jaxnas: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        tell("jaxnas: interrupted")
        return Interrupted.exit_code
    except BrokenPipeError:
        return READER_LEFT
    except OSError as error:
        if not error.errno:  # what raised it may be a mistake of ours
            raise
        tell(f"jaxnas: {_refusal(error)}")
        return UserError.exit_code
    except (RuntimeError, AssertionError) as error:
        message = explain_backend(error)
        if message is None:
            raise
        tell(f"jaxnas: {message}")
        return UserError.exit_code
    return 0


def _refusal(error: OSError) -> str:
    """The system's reason for a refusal, after the file that it refused."""
    if error.filename is None:
        return system_says(error)
    names = [str(name) for name in (error.filename, error.filename2) if name is not None]
    return f"{' -> '.join(names)}: {system_says(error)}"


def _drop_output() -> None:
    """Lets what is still buffered for stdout go nowhere: Python then ends without an error."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
