import contextlib
import io

import pytest

from jaxnas.cli.app import app, exit_code

TINY = """
data:
  synthetic: {volumes: 5, slices: 2, size: [32, 32]}
  split: {valid_fraction: 0.2, test_fraction: 0.2}
network: {channels: 4, cells: 1, nodes: 2, cascades: 1}
search: {steps: 6, check_every: 2}
train:
  models: [dccnn, derived]
  steps: 8
  validate_every: 4
evaluate: {tv: {iterations: 5}}
log_every: 2
checkpoint_every: 3
"""


class Result:
    """What a command printed and how it ended."""

    def __init__(self, *arguments):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            self.code = exit_code(lambda: app([str(a) for a in arguments]))
        self.out, self.err = out.getvalue(), err.getvalue()


@pytest.fixture(scope="session")
def call():
    """Runs the command line in this process."""
    return Result


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A config that runs every stage in seconds."""
    path = tmp_path_factory.mktemp("config") / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="session")
def finished(tiny, tmp_path_factory, call):
    """The run directory of the tiny config, all stages done."""
    folder = tmp_path_factory.mktemp("run") / "tiny"
    result = call("run", tiny, "--workdir", folder, "--quiet")
    assert result.code == 0, result.err
    return folder
