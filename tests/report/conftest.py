"""Complete run directories, written once per session; do not write into them: copy them first."""

import pytest

from tests.report import fake_federated, fake_run


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory):
    """A run at one site."""
    return fake_run.write_run(tmp_path_factory.mktemp("runs") / "nas_csmri", size=48)


@pytest.fixture(scope="session")
def federated_dir(tmp_path_factory):
    """A run with four unequal clients."""
    return fake_federated.write_run(tmp_path_factory.mktemp("runs") / "fedautomri", size=40)
