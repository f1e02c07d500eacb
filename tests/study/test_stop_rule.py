"""`study.stop` in a search."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.studies import points, searched
from support.toys import ToyEngine, plan
from sweep.errors import UserError

RANDOM = ("study.sampler=random", "study.pruner=none", "study.n_trials=16")


def test_a_search_ends_after_trials_without_a_better_score(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Trial 3 is the best of the first seven."""
    stopped = searched(tmp_path, *RANDOM, "study.stop={patience: 3}")
    assert len(stopped) == 7
    said = capsys.readouterr().err
    assert "study.stop.patience is 3: the last 3 trials brought no better eval/accuracy" in said
    assert "the search ends after 7 of 16 trials. study.stop.patience=null runs the others" in said
    engine = ToyEngine()
    assert searched(tmp_path, *RANDOM, "study.stop={patience: 3}", engine=engine) == stopped
    assert engine.trained == []
    whole = searched(tmp_path, *RANDOM)
    assert len(whole) == 16 and whole[:7] == stopped


def test_trials_that_run_when_a_rule_holds_are_finished_and_may_lift_it(tmp_path: Path) -> None:
    """With four slots trial 7, the best, has begun when the rule holds after trial 6."""
    records = searched(tmp_path, *RANDOM, "study.stop.patience=3", engine=ToyEngine(slots=4))
    assert len(records) > 10 and all(record.state == "completed" for record in records)
    assert max(records, key=lambda record: record.best.metrics["eval/accuracy"] if record.best else 0).number == 7


def test_a_killed_search_stops_where_it_would_have(tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    def kill(trial: object, _epoch: int) -> None:
        if getattr(trial, "number", 0) == 5:
            raise Killed

    options = (*RANDOM, "study.stop.patience=3")
    with pytest.raises(Killed):
        searched(tmp_path / "a", *options, engine=ToyEngine(before=kill))
    assert points(searched(tmp_path / "a", *options)) == points(searched(tmp_path / "b", *options))


def test_a_small_expected_gain_ends_the_search(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(searched(tmp_path, *RANDOM, "study.stop.expected_gain=0.5")) == 8
    assert "the trials to come are expected to raise the best eval/accuracy by 0." in capsys.readouterr().err


def test_the_error_of_a_loss_is_not_known(tmp_path: Path) -> None:
    loss = ("study.metric=eval/loss", "study.direction=minimize", "study.stop.expected_gain=error")
    with pytest.raises(UserError, match=r"study.stop.expected_gain: is error, but the standard error .* give a number"):
        plan(tmp_path, *loss)


def test_rules_that_end_nothing_are_noted(tmp_path: Path) -> None:
    notes = plan(tmp_path, "study.n_trials=6", "study.stop={patience: 6, expected_gain: 0.01}").notes
    assert "study.stop.patience is 6, which ends no search of 6 trials" in notes
    assert any("is known from 8 trials on" in note for note in notes)
