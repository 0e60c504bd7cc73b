"""The rates of a device: measured once, cached, and kept with a run."""

import dataclasses
import os

import pytest

from jaxnas.core.errors import UserError
from jaxnas.core.runtime import cache_folder
from jaxnas.engine import rates
from jaxnas.engine.run import Run
from jaxnas.ops.costs import BUILT_IN
from jaxnas.reconstruction.section import ReconstructionConfig
from jaxnas.spaces.section import NetworkConfig

AUTO = ReconstructionConfig(network=NetworkConfig(plan="auto"))
FORCED = ReconstructionConfig(network=NetworkConfig(plan="dense"))


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """A cache folder of the test's own, and a list with one entry per measurement."""
    found = []

    def measure():
        found.append(dataclasses.replace(BUILT_IN["cpu"].training, call=1e-6 * (1 + len(found))))
        return found[-1]

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(rates, "measure_rates", measure)
    return found


def cache_file():
    """The only file in the cache."""
    (file,) = cache_folder().iterdir()
    return file


def test_measured_once(measured):
    first = rates.device_rates()
    assert rates.device_rates() == first and len(measured) == 1


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", '{"matmul": -1}', "\x00"])
def test_a_broken_cache_is_measured_again(content, measured):
    rates.device_rates()
    cache_file().write_text(content)
    assert rates.device_rates() == measured[1]
    assert rates.device_rates() == measured[1] and len(measured) == 2


def test_a_home_that_cannot_be_written_to(measured, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert [rates.device_rates(), rates.device_rates()] == measured


def test_a_run_goes_on_with_the_rates_it_began_with(measured, tmp_path):
    """On another device as well, and whatever has become of the cache."""
    run = Run(AUTO, tmp_path / "run")
    began = rates.run_rates(run)
    os.remove(cache_file())
    assert rates.run_rates(run) == began
    assert rates.run_rates(Run(AUTO, tmp_path / "other")) != began


def test_a_plan_by_name_needs_no_rates(measured, tmp_path):
    assert rates.run_rates(Run(FORCED, tmp_path / "run")) is None
    assert not measured and not (tmp_path / "run").exists()


def test_a_broken_record_of_a_run_is_refused(measured, tmp_path):
    """Other rates could choose other plans in the middle of a run."""
    run = Run(AUTO, tmp_path / "run")
    rates.run_rates(run)
    run.dir.rates.write({"matmul": 1})
    with pytest.raises(UserError, match=r"rates\.json.*delete"):
        rates.run_rates(run)


def test_what_is_measured_has_the_right_order(monkeypatch):
    """Products do more than a million multiply-adds a second, and less than any machine can."""
    monkeypatch.setattr(rates, "IMAGE", (1, 16, 16))
    monkeypatch.setattr(rates, "COPIED", 1 << 12)
    found = rates.measure_rates()
    for curve in (found.conv, found.matmul):
        assert [c for c, _ in curve] == [*rates.CONV_CHANNELS]
    assert [c for c, _ in found.taps] == [*rates.TAP_CHANNELS]
    flops = [r for _, r in found.conv + found.matmul + found.taps]
    assert all(1e6 < rate < 1e17 for rate in flops)
    assert 1e6 < found.copy < 1e15 and 0 < found.call < 1e-2
