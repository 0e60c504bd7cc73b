"""The first signal asks, the second ends."""

import signal
import threading

import pytest

from jaxnas.engine.loop import STOP_SIGNALS, StopRequest


def handlers():
    """What each signal would do."""
    return [signal.getsignal(number) for number in STOP_SIGNALS]


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_the_first_signal_is_a_request(number):
    before = handlers()
    with StopRequest() as stop:
        assert not stop.requested
        signal.raise_signal(number)
        assert stop.requested
        assert handlers() == before  # the second has its usual effect
    assert handlers() == before


@pytest.fixture
def interruptible():
    """SIGINT with its usual effect, which a process in the background of a shell lacks."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_the_second_interrupt_ends_at_once(interruptible):
    with pytest.raises(KeyboardInterrupt), StopRequest() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.requested
        signal.raise_signal(signal.SIGINT)


def test_handlers_come_back_after_an_error():
    before = handlers()
    with pytest.raises(RuntimeError), StopRequest():
        raise RuntimeError
    assert handlers() == before


def test_other_threads_are_left_alone():
    seen = []

    def work():
        with StopRequest() as stop:
            seen.append(stop.requested)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]
