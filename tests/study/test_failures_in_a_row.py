"""The circuit breaker: failures in a row with one cause."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from support.studies import PLAIN, Undisturbed, points, searched
from support.toys import ToyEngine
from sweep.config.objective import Objective
from sweep.engine.second_objective import undefined
from sweep.errors import UserError
from sweep.records.cost import Cost
from sweep.records.trial import Completed, EvalPoint, Failed, FailureReason, Outcome, Pruned, TrialPlan
from sweep.study.failures_in_a_row import FailuresInARow

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


def test_hosts_do_not_tell_causes_apart() -> None:
    def lost(host: str, why: str = "was killed") -> Failed:
        message = f"its worker on {host} died: its process {why}"
        return Failed(FailureReason.LOST, message, (), Cost(host=host), given_up=True)

    assert reached(lost("gpu7"), lost("worker-x9k2f"))
    assert not reached(lost("gpu7"), lost("gpu7", "ran out of memory"))


def test_causes_differ_by_reason_and_by_words() -> None:
    assert not reached(failed("a"), failed("b"))
    assert not reached(failed("a"), failed("a", FailureReason.DIVERGED))
    assert not reached(failed("infinite loop"), failed("nan loop"))


@pytest.mark.parametrize("between", [Completed(POINT, (POINT,), Cost()), Pruned((), Cost())])
def test_a_trial_that_did_not_fail_begins_a_new_count(between: Outcome) -> None:
    assert not reached(failed("a"), between, failed("a"))


def test_an_interrupted_trial_counts_nothing() -> None:
    assert reached(failed("a"), failed("b", FailureReason.INTERRUPTED), failed("a"))


def test_trials_that_do_not_fit_in_memory_count_and_those_beyond_a_limit_do_not() -> None:
    def beyond(message: str, *names: str) -> Failed:
        return Failed(FailureReason.INFEASIBLE, message, (), Cost(), excess=dict.fromkeys(names, 0.5))

    memory = [beyond(f"use {what}", "out_of_memory") for what in ("a smaller rank", "a smaller model")]
    assert reached(*memory)
    assert not reached(*[beyond("a", "cost.seconds")] * 9) and not reached(
        *[beyond("a", "cost.flops", "out_of_memory")] * 9
    )
    counted = FailuresInARow(1)
    counted.ended(0, memory[0])
    assert "infeasible: use a smaller rank. Free memory" in str(counted.error())


def test_null_allows_any_number() -> None:
    assert not reached(*[failed("a")] * 99, most=None)


@pytest.mark.parametrize("slots", [1, 4])
def test_the_study_stops_with_the_cause_and_goes_on_when_it_is_mended(
    tmp_path: Path, undisturbed: Undisturbed, slots: int
) -> None:
    """Trial 1 completes, later ones diverge. Those that run beside the last failure go on."""

    def luck(trial: TrialPlan) -> float:
        return math.nan if trial.number > 1 else 0.0

    whole = undisturbed(*OPTIONS).records
    stopped = {1: "2, 3, 4, 5, 6", 4: "6, 7, 8, 9, 10"}[slots]  # trials 0 and 1 end after 5
    with pytest.raises(
        UserError, match=rf"5 trials in a row \({stopped}\) failed with one cause, diverged: loss is nan"
    ):
        searched(tmp_path / "cut", *OPTIONS, engine=ToyEngine(luck=luck, slots=slots))
    records = searched(tmp_path / "cut", *OPTIONS)
    assert [record.state for record in records].count("diverged") == {1: 5, 4: 9}[slots]
    assert sorted(points(records)) == sorted(points(whole))


def test_points_that_break_a_rule_count(tmp_path: Path) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(
        "optimizer.lr_scheduler_type: {choices: [linear, constant]}\noptimizer.warmup_steps: {choices: [0, 5]}\n"
    )
    known = "study.enqueue=[" + ",".join(
        f"{{optimizer.lr_scheduler_type: {name}, optimizer.warmup_steps: 5}}" for name in ("constant", "linear")
    ) + "]"  # fmt: skip
    options = (*OPTIONS, f"study.space={space}", known)
    with pytest.raises(UserError, match=r"trial 0 failed, infeasible: optimizer.warmup_steps"):
        searched(tmp_path, *options, "study.max_failures_in_a_row=1")
    assert [one.state for one in searched(tmp_path, *options, "study.max_failures_in_a_row=null")][:2] == [
        "infeasible", "completed"
    ]  # fmt: skip


def test_the_message_names_the_way_out() -> None:
    counted = FailuresInARow(1)
    counted.ended(4, failed("CUDA out of memory. Tried to allocate 20 MiB"))
    said = str(counted.error())
    assert said.startswith("study.max_failures_in_a_row: trial 4 failed, out of memory: CUDA out of memory. Tried")
    assert "the same command goes on" in said and "null any number" in said


def test_a_metric_that_is_undefined_is_no_matter_of_the_learning_rate() -> None:
    counted, objective = FailuresInARow(1), Objective("eval/mine", maximize=True)
    counted.ended(0, failed(undefined(objective, {"eval/mine": math.nan}), FailureReason.DIVERGED))
    said = str(counted.error())
    assert "Take more validation rows, mend the metric" in said and "learning rates" not in said
