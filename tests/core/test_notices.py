import errno
import io
import sys

import pytest

from jaxnas.core.notices import forget_warnings, printable, tell, warn


def test_a_warning_is_one_line_and_said_once(capsys):
    warn("a.h5: 3 columns are empty; they are left out")
    warn("a.h5: 3 columns are empty; they are left out")
    warn("b.h5: another")
    assert capsys.readouterr().err.splitlines() == [
        "jaxnas: warning: a.h5: 3 columns are empty; they are left out",
        "jaxnas: warning: b.h5: another",
    ]


def test_the_next_command_says_it_again(capsys):
    warn("twice")
    forget_warnings()
    warn("twice")
    assert capsys.readouterr().err.count("twice") == 2


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("[red]x[/] [/x] <b> & ü µm ×", "[red]x[/] [/x] <b> & ü µm ×"),
        ("two\nlines\r", r"two\nlines\r"),
        ("\x1b[31mred\x1b[0m\x07", r"\x1b[31mred\x1b[0m\x07"),
        ("stray \udce9 byte", r"stray \udce9 byte"),
        ("right\u202eleft", r"right\u202eleft"),
        (r"back\slash", r"back\slash"),
    ],
)
def test_text_is_shown_in_full_and_moves_nothing(text, shown, capsys):
    assert printable(text) == shown
    warn(text)
    assert capsys.readouterr().err == f"jaxnas: warning: {shown}\n"


def test_lines_of_a_message_are_kept(capsys):
    tell("2 problems\nfirst\x1b[2J\nsecond")
    assert capsys.readouterr().err == "2 problems\nfirst\\x1b[2J\nsecond\n"


class Full(io.StringIO):
    """A stream on a full disk."""

    def write(self, text):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_closed_or_full_stderr_is_no_error(monkeypatch):
    closed = io.StringIO()
    closed.close()
    for stream in (closed, Full()):
        monkeypatch.setattr(sys, "stderr", stream)
        warn(f"nobody hears this of {stream}")
