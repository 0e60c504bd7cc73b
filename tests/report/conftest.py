"""A complete run directory, written once per session."""

import pytest

from tests.report import fake_run


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory):
    """Do not write into it: copy it first."""
    return fake_run.write_run(tmp_path_factory.mktemp("runs") / "nas_csmri", size=48)
