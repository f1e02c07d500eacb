"""Rows of a training that goes on: repeated ones are kept once, others replace them, and a
dashboard is shown each once."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweep.records.events import append_row, read_rows
from sweep.records.row_log import Row, RowLog
from sweep.records.trial import EvalPoint, Step


def step(number: int, loss: float = 1.0, seconds: float = 0.0) -> Step:
    return Step(number, 10, number / 5, {"train/loss": loss}, seconds)


def point(number: int, score: float = 0.5) -> EvalPoint:
    return EvalPoint(number, number, number / 5, {"eval/accuracy": score})


WRITTEN: list[Row] = [step(1), step(2), point(2), step(3)]


@pytest.fixture
def log(tmp_path: Path) -> RowLog:
    for row in WRITTEN:
        append_row(row, tmp_path)
    return RowLog.of(tmp_path)


def test_rows_that_are_repeated_are_kept_once_whatever_they_took(log: RowLog) -> None:
    assert [log.add(row) for row in (step(2, seconds=9.0), point(2), step(3), step(4))] == [False, False, False, True]
    assert log.rows == read_rows(log.folder) == [*WRITTEN, step(4)]
    assert log.evals == [point(2)]


def test_a_row_that_comes_out_otherwise_replaces_the_former_one_and_all_after_it(log: RowLog) -> None:
    other = point(2, 0.6)
    assert not log.differs(point(2)) and log.differs(other)
    assert log.add(other) and log.add(step(3, 2.0))
    assert log.rows == read_rows(log.folder) == [step(1), step(2), other, step(3, 2.0)]
    assert not log.differs(step(3, 2.0)) and not log.add(step(3, 2.0))


def test_a_metric_that_is_no_number_is_the_same_again(log: RowLog) -> None:
    assert log.add(step(4, float("nan"))) and not log.add(step(4, float("nan")))


def test_a_dashboard_is_shown_a_step_of_each_kind_once(log: RowLog) -> None:
    """It cannot replace the rows of an earlier course."""
    assert not log.show(point(2, 0.6)) and not log.show(step(3, 2.0))
    assert log.show(point(3)) and log.show(step(4))
    assert not log.show(step(4, 3.0))


def test_a_line_that_was_cut_off_is_left_out(log: RowLog) -> None:
    with (log.folder / "events.jsonl").open("a") as file:
        file.write('{"type": "train", "st')
    again = RowLog.of(log.folder)
    again.add(step(4))
    assert read_rows(log.folder) == [*WRITTEN, step(4)]
