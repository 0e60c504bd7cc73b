"""A device that was asked for and is not there: one sentence instead of JAX's traceback."""

import os
import sys

EXTRAS = {"cuda": "gpu", "gpu": "gpu", "tpu": "tpu"}


def explain_backend(error: Exception) -> str | None:
    """The message for an error that JAX raised because it cannot start its device, else None.

    JAX starts the device with the first array, wherever in a command that is, and some versions
    raise an AssertionError without a word: so whether it starts is asked of JAX again.
    """
    if not isinstance(error, (RuntimeError, AssertionError)) or "jax" not in sys.modules:
        return None
    try:
        sys.modules["jax"].devices()
    except (RuntimeError, AssertionError) as reason:
        return _missing(os.environ.get("JAX_PLATFORMS", ""), str(reason).strip())
    return None


def _missing(asked: str, reason: str) -> str:
    """The message for missing platforms `asked` for, with JAX's reason where it gives one."""
    said = f" ({reason.splitlines()[0].partition(' (set JAX_PLATFORMS')[0]})" if reason else ""
    extras = [EXTRAS[name] for name in asked.lower().split(",") if name in EXTRAS]
    install = f'pip install "jaxnas[{extras[0]}]" brings its plugin, or ' if extras else ""
    return (
        f"JAX_PLATFORMS={asked}: JAX cannot start this device{said}; {install}unset JAX_PLATFORMS "
        f"to run on what is there"
    )
