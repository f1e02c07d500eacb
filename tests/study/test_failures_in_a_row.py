"""The circuit breaker: failures in a row with one cause."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from support.studies import PLAIN, searched
from support.toys import ToyEngine, session
from sweep.errors import UserError
from sweep.records.trial import Completed, Cost, EvalPoint, Failed, FailureReason, Outcome, Pruned, TrialPlan
from sweep.study.failures_in_a_row import FailuresInARow
from sweep.study.search import search

OPTIONS = ("study.n_trials=12", "study.sampler=random", *PLAIN)
POINT = EvalPoint(1, 10, 1.0, {"eval/accuracy": 0.5})


def failed(message: str, reason: FailureReason = FailureReason.OUT_OF_MEMORY) -> Failed:
    return Failed(reason, message, (), Cost())


def reached(*outcomes: Outcome, most: int | None = 2) -> bool:
    counted = FailuresInARow(most)
    for number, outcome in enumerate(outcomes):
        counted.ended(number, outcome)
    return counted.reached


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("CUDA out of memory. Tried to allocate 20.00 MiB", "CUDA out of memory. Tried to allocate 1.5e+3 MiB"),
        ("the loss is nan at step 12", "the loss is inf at step 1,024"),
        ("/tmp/a/trials/0001/x cannot be read", "/tmp/a/trials/0002/x cannot be read"),
    ],
)
def test_numbers_and_paths_do_not_tell_causes_apart(first: str, second: str) -> None:
    assert reached(failed(first), failed(second))


def test_causes_differ_by_reason_and_by_words() -> None:
    assert not reached(failed("a"), failed("b"))
    assert not reached(failed("a"), failed("a", FailureReason.DIVERGED))
    assert not reached(failed("infinite loop"), failed("nan loop"))


@pytest.mark.parametrize("between", [Completed(POINT, (POINT,), Cost()), Pruned((), Cost())])
def test_a_trial_that_did_not_fail_begins_a_new_count(between: Outcome) -> None:
    assert not reached(failed("a"), between, failed("a"))


def test_an_interrupted_trial_counts_nothing() -> None:
    assert reached(failed("a"), failed("b", FailureReason.INTERRUPTED), failed("a"))


def test_null_allows_any_number() -> None:
    assert not reached(*[failed("a")] * 99, most=None)


@pytest.mark.parametrize("slots", [1, 4])
def test_the_study_stops_with_the_cause_and_goes_on_when_it_is_mended(tmp_path: Path, slots: int) -> None:
    """Trial 1 completes, later ones diverge. Those that run beside the last failure go on."""

    def luck(trial: TrialPlan) -> float:
        return math.nan if trial.number > 1 else 0.0

    with pytest.raises(
        UserError, match=r"5 trials in a row \(2, 3, 4, 5, 6\) failed with one cause, diverged: loss is nan"
    ):
        searched(tmp_path, *OPTIONS, engine=ToyEngine(luck=luck, slots=slots))
    with session(tmp_path, *OPTIONS, engine=ToyEngine()) as opened:
        records = search(opened)
    ends = [record.state for record in records]
    assert ends[:7] == ["completed"] * 2 + ["diverged"] * 5
    assert len(records) == 12 and set(ends[7:]) <= {"completed", "diverged"}
    assert ends[-1] == "completed"


def test_infeasible_points_count(tmp_path: Path) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(
        "optimizer.warmup_steps: {choices: [5, 6]}\noptimizer.learning_rate: {low: 1.0e-4, high: 1.0e-3}\n"
    )
    options = (*OPTIONS, f"study.space={space}", "optimizer.lr_scheduler_type=constant")
    with pytest.raises(UserError):  # the plan refuses a space without a feasible point
        searched(tmp_path, *options)


def test_the_message_names_the_way_out() -> None:
    counted = FailuresInARow(1)
    counted.ended(4, failed("CUDA out of memory. Tried to allocate 20 MiB"))
    said = str(counted.error())
    assert said.startswith("study.max_failures_in_a_row: trial 4 failed, out of memory: CUDA out of memory. Tried")
    assert "the same command goes on" in said and "null any number" in said
