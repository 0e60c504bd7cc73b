import contextlib
import dataclasses
import io

import pytest

from jaxnas.cli.app import app
from jaxnas.cli.exits import exit_code
from jaxnas.core.registry import Entry
from jaxnas.spaces.registry import TWO_LEVEL_SPACES
from tests.cli.alone import run_once

TINY = """
data:
  synthetic: {volumes: 5, slices: 2, size: [32, 32]}
  split: {valid_fraction: 0.2, test_fraction: 0.2}
network: {channels: 4, cells: 1, nodes: 2, cascades: 1, plan: stack}
search: {steps: 6, check_every: 2}
train:
  models: [dccnn, derived]
  steps: 8
  validate_every: 4
evaluate: {tv: {iterations: 5}}
log_every: 2
checkpoint_every: 3
"""

TINY_FEDERATED = """
data:
  synthetic: {volumes: 14, slices: 2, size: [16, 16]}
  split: {valid_fraction: 0.2, test_fraction: 0.2}
acquisition: {accelerations: [2, 3], center_fractions: [0.2, 0.2]}
network: {space: csmri_b, channels: 2, cells: 1, nodes: 1, cascades: 1, plan: stack}
search:
  method: milenas
  check_every: 1
  warmup: 1
  alphas: {rate: 0.1, schedule: constant}
train: {validate_every: 2}
evaluate: {classical: [zero_filled]}
federated:
  partition: {method: dirichlet, by: contrast, clients: 3, concentration: 0.5}
  participation: 0.7
  search_rounds: 3
  rounds: 4
  local_epochs: 1
  methods:
    - {strategy: non_fed}
    - {strategy: fedavg}
    - {strategy: fedprox}
    - {strategy: fedmri}
    - {strategy: fedautomri}
log_every: 1
checkpoint_every: 2
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


@pytest.fixture(scope="module")
def one_node():
    """Cells of one node in the two-level space: most of a search is to trace and compile them."""
    smaller = dataclasses.replace(TWO_LEVEL_SPACES["rtdnas"], nodes=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TWO_LEVEL_SPACES.own, "rtdnas", Entry(smaller))
        yield


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A config that runs every stage in seconds."""
    path = tmp_path_factory.mktemp("config") / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="session")
def finished(tiny, tmp_path_factory):
    """The run directory of the tiny config, all stages done."""
    return run_once(tiny, tmp_path_factory, "tiny")


@pytest.fixture(scope="session")
def tiny_federated(tmp_path_factory):
    """A config with unequal clients, two of three in a round, that runs every strategy."""
    path = tmp_path_factory.mktemp("config") / "tiny_federated.yaml"
    path.write_text(TINY_FEDERATED)
    return path


@pytest.fixture(scope="session")
def federated(tiny_federated, tmp_path_factory):
    """The run directory of the tiny federated config, all stages done."""
    return run_once(tiny_federated, tmp_path_factory, "tiny_federated")
