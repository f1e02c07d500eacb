"""The state of a study in numbers."""

from __future__ import annotations

from sweep.config.schema import StudyConfig
from sweep.records.cost import Cost
from sweep.records.trial import Completed, EvalPoint, TrialRecord
from sweep.track.study_progress import StudyProgress


def record(number: int, score: float, seconds: float) -> TrialRecord:
    point = EvalPoint(1, 10, 1.0, {"eval/accuracy": score, "eval/loss": 1 - score})
    return TrialRecord(number, {}, Completed(point, (point,), Cost(seconds=seconds)), "", 10, "", "")


def test_a_trial_that_puts_the_best_one_out_of_reach_makes_another_one_the_best() -> None:
    study = StudyConfig(metric="eval/accuracy", second_metric="cost/seconds", choose_within=0.1)
    progress = StudyProgress(study)
    assert progress.ended(record(0, 0.70, 1)) and not progress.ended(record(1, 0.75, 2))
    assert not progress.ended(record(2, 0.84, 9))
    assert progress.best is not None and progress.best.number == 1
