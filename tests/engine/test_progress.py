"""The progress bar."""

from jaxnas.engine.loop import ProgressBar


def show(*, quiet):
    """Two steps of a bar."""
    with ProgressBar("train derived", 3, 5, quiet=quiet) as bar:
        bar.advance()
        bar.advance()
        bar.note({"loss": 0.125, "grad_norm": 3.0})


def test_shows_name_count_and_losses(capsys):
    show(quiet=False)
    text = capsys.readouterr().err
    assert all(part in text for part in ("train derived", "5/5", "loss 0.125"))
    assert "grad_norm" not in text


def test_quiet_is_silent(capsys):
    show(quiet=True)
    assert capsys.readouterr() == ("", "")
