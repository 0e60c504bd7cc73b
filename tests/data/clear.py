"""What every message to a user must be."""

import re


def assert_one_clear_sentence(message, path):
    """One sentence that names `path` and says what is expected."""
    assert str(path) in message
    assert "\n" not in message
    assert "expected" in message or "no such" in message
    # Folders may have names of any length.
    assert len(re.sub(r"\S*/", "", message)) < 330
