"""A signal before a study runs, in the middle of whatever it comes in."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from sweep.errors import STOPPED_AT_ONCE, UserError, reported
from sweep.study.interrupts import as_one_error
from sweep.study.signals import stop_on_signals


@pytest.fixture(autouse=True)
def terminal() -> Iterator[None]:
    """Tests may be started by `nohup`, which ignores SIGHUP."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize(
    "error", [ImportError("numpy.core failed"), SystemError(), UserError.of("", "no"), KeyboardInterrupt()]
)
def test_whatever_a_library_makes_of_it_is_one_line(
    capsys: pytest.CaptureFixture[str], number: int, error: BaseException
) -> None:
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as ended, reported(), as_one_error():
        try:
            os.kill(os.getpid(), number)
        except KeyboardInterrupt:
            raise error from None
    assert ended.value.code == 130
    assert capsys.readouterr().err == f"{STOPPED_AT_ONCE}\n"
    assert signal.getsignal(number) is before


def test_a_signal_that_comes_while_an_object_is_let_go_of_is_not_lost(capsys: pytest.CaptureFixture[str]) -> None:
    class Held:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(SystemExit) as ended, reported(), as_one_error():
        Held()
        while True:
            time.sleep(0.01)
    assert ended.value.code == 130
    assert capsys.readouterr().err == f"{STOPPED_AT_ONCE}\n"


def test_a_closed_terminal_stops_nothing_that_was_started_to_outlive_it() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as `nohup` does
    try:
        with as_one_error(), stop_on_signals() as flag:
            os.kill(os.getpid(), signal.SIGHUP)
        assert not flag.raised and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_closed_terminal_is_the_first_signal_and_never_the_second() -> None:
    with stop_on_signals() as flag:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGHUP)
        assert flag.raised and not flag.at_once
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
        assert flag.at_once


def test_without_a_signal_an_error_stays_what_it_is() -> None:
    with pytest.raises(ImportError), as_one_error():
        raise ImportError


def test_a_command_that_told_of_its_stop_is_not_told_of_again(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, reported(), as_one_error(), reported():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)
    assert ended.value.code == 130
    assert capsys.readouterr().err.count("stopped at once") == 1
