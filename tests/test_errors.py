from __future__ import annotations

import pytest

from sweep.errors import Fault, Interrupted, UserError, reported


def test_every_fault_is_printed_once_with_its_origin_and_ends_in_2(capsys: pytest.CaptureFixture[str]) -> None:
    fault = Fault("adapter.r", "is 0, but must be at least 1", "the command line")
    with pytest.raises(SystemExit) as done, reported():
        raise UserError([fault, Fault("", "something else"), fault])
    assert done.value.code == 2
    assert capsys.readouterr().err.splitlines() == [
        "sweep: 2 things to mend:",
        "  - adapter.r: is 0, but must be at least 1  (from the command line)",
        "  - something else",
    ]


def test_an_interrupt_ends_in_130(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done, reported():
        raise Interrupted("stopped; the same command goes on")
    assert done.value.code == 130
    assert capsys.readouterr().err == "sweep: stopped; the same command goes on\n"


def test_a_second_interrupt_ends_in_130_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done, reported():
        raise KeyboardInterrupt
    assert done.value.code == 130
    assert "stopped at once" in capsys.readouterr().err


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError), reported():
        raise ZeroDivisionError
