"""The rules that end a search before it has all its trials."""

from __future__ import annotations

import pytest

from sweep.config.schema import DatasetConfig, StudyConfig
from sweep.config.stop import StopConfig
from sweep.records.cost import Cost
from sweep.records.trial import Completed, EvalPoint, Failed, FailureReason, Outcome, Pruned, TrialRecord
from sweep.search.score_error import standard_error
from sweep.search.stopping import Outlook, Scale, counting, error_is_known, held_rule, outlooks

ROWS = 200


def record(number: int, score: float | None, *, adapter: str = "lora", ended: int | None = None) -> TrialRecord:
    point = EvalPoint(1, 10, 1.0, {"eval/accuracy": score or 0.0, "eval/f1_macro": score or 0.0, "eval/loss": 1.0})
    outcome: Outcome = Pruned((), Cost()) if score is None else Completed(point, (point,), Cost())
    finished = f"2026-01-01T10:{number if ended is None else ended:02d}:00"
    return TrialRecord(number, {"adapter": adapter}, outcome, "", 10, "", finished)


def states(records: list[TrialRecord], study: StudyConfig, wanted: int = 32) -> tuple[Outlook, ...]:
    scale = Scale.of(DatasetConfig(), study.metric, ROWS)
    return outlooks(records, study, ("lora", "ia3") if study.compare_by else (), scale, wanted=wanted)


def rule(records: list[TrialRecord], stop: StopConfig, **options: str) -> str:
    study = StudyConfig(stop=stop, **options)  # type: ignore[arg-type]
    return held_rule(study, states(records, study))


def test_patience_counts_the_trials_that_ended_after_the_best_one() -> None:
    scores = [0.5, 0.8, 0.7, None, 0.8]
    records = [record(number, score) for number, score in enumerate(scores)]
    (state,) = states(records, StudyConfig())
    assert (state.ended, state.completed, state.best, state.since_best, state.more) == (5, 4, 0.8, 3, 27)
    assert rule(records, StopConfig(patience=3)) == "patience" and rule(records, StopConfig(patience=4)) == ""
    assert rule([*records, record(5, 0.81)], StopConfig(patience=3)) == ""


def test_trials_count_in_the_order_of_their_ends() -> None:
    """Trial 0 is the best, and the last to end."""
    records = [record(0, 0.9, ended=9), *(record(number, 0.5) for number in (1, 2, 3))]
    assert rule(records, StopConfig(patience=1)) == ""
    assert rule([record(0, 0.9), *records[1:]], StopConfig(patience=3)) == "patience"


def test_lower_may_be_better() -> None:
    points = [EvalPoint(1, 1, 1.0, {"eval/loss": loss}) for loss in (0.3, 0.5, 0.4)]
    records = [
        TrialRecord(number, {}, Completed(point, (point,), Cost()), "", 1, "", str(number))
        for number, point in enumerate(points)
    ]
    study = StudyConfig(metric="eval/loss", direction="minimize", stop=StopConfig(patience=2))
    assert held_rule(study, states(records, study)) == "patience"


def test_a_trial_that_is_tried_again_does_not_count() -> None:
    again = TrialRecord(9, {}, Failed(FailureReason.INTERRUPTED, "", (), Cost()), "", 1, "", "z")
    records = [record(0, 0.9), record(1, 0.5)]
    assert counting([*records, again]) == records
    assert rule([*records, again], StopConfig(patience=2)) == ""


def test_no_rule_holds_before_a_trial_has_completed() -> None:
    pruned = [record(number, None) for number in range(20)]
    assert rule(pruned, StopConfig(patience=1)) == "" and rule([], StopConfig(patience=1)) == ""
    assert rule([record(0, 0.5)], StopConfig()) == ""


FEW_LEFT = [record(number, 0.8 - 0.01 * (number % 7)) for number in range(30)]


@pytest.mark.parametrize(("least", "held"), [(0.05, True), (1e-6, False), ("error", True)])
def test_a_small_expected_gain_ends_the_search(least: float, held: bool) -> None:
    assert rule(FEW_LEFT, StopConfig(expected_gain=least)) == ("expected_gain" if held else "")
    assert rule(FEW_LEFT[:7], StopConfig(expected_gain=least)) == "", "it is not known"


def test_either_rule_is_enough() -> None:
    assert rule(FEW_LEFT, StopConfig(patience=20, expected_gain=1e-9)) == "patience"
    assert rule(FEW_LEFT, StopConfig(patience=100, expected_gain=0.05)) == "expected_gain"


def test_each_compared_choice_has_to_meet_the_rule() -> None:
    lora = [record(number, 0.9 - 0.1 * number) for number in range(4)]
    ia3 = [record(number, 0.1 * number, adapter="ia3") for number in range(4, 8)]
    study = StudyConfig(compare_by="adapter", stop=StopConfig(patience=2))
    assert [(one.choice, one.ended, one.since_best, one.more) for one in states([*lora, *ia3], study, 9)] == [
        ("lora", 4, 3, 1), ("ia3", 4, 0, 0)
    ]  # fmt: skip
    assert rule([*lora, *ia3], study.stop, compare_by="adapter") == ""
    worse = [record(number, 0.1, adapter="ia3") for number in (8, 9)]
    assert rule([*lora, *ia3, *worse], study.stop, compare_by="adapter") == "patience"


def test_the_error_is_that_of_the_share_of_right_rows() -> None:
    (state,) = states([record(0, 0.8)], StudyConfig(metric="eval/f1_macro"))
    assert state.error == pytest.approx(standard_error(0.8, ROWS))
    (state,) = states([record(0, 0.8)], StudyConfig(metric="eval/loss", direction="minimize"))
    assert state.error is None
    assert Scale.of(DatasetConfig(), "eval/f1_macro", 9).room(0.75) == 0.25
    assert Scale.of(DatasetConfig(), "eval/loss", 9).room(0.3) == 0.3
    assert not error_is_known(DatasetConfig(metrics=("mine.cost",)), "eval/cost")
