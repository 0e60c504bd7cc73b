"""The clock counts every second once."""

import time

from jaxnas.engine.clock import Clock


def test_phases_are_kept_apart():
    clock = Clock()
    for name, seconds in (("compile", 0.03), ("data", 0.01), ("step", 0.02), ("step", 0.02)):
        with clock.phase(name):
            time.sleep(seconds)
    clock.steps = 2
    summary = clock.summary()
    assert 0.03 <= summary["compile_s"] < 0.3
    assert 0.05 <= summary["steady_s"] < 0.5
    assert summary["step_ms"] == 500 * summary["steady_s"]
    assert 0 < summary["data_share"] < 1


def test_a_clock_without_steps():
    assert Clock().summary()["step_ms"] is None


def test_goes_on_after_a_restart():
    clock, later = Clock(), Clock()
    with clock.phase("step"):
        clock.steps += 3
    later.from_json(clock.to_json())
    assert later.summary() == clock.summary()
