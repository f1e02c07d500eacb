"""The mean of folds, without a model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from support.trials import ROWS, make_plan
from sweep.engine.folded_trial import FoldedTrial, together
from sweep.engine.folds import Folded
from sweep.engine.out_of_fold import decoded, encoded
from sweep.engine.protocol import StudyCallbacks
from sweep.engine.snapshot import decode, encode
from sweep.records.cost import Cost
from sweep.records.snapshot import Snapshot
from sweep.records.trial import Completed, EvalPoint, Failed, FailureReason, Outcome, Pruned, Step, Verdict


class Scripted:
    """An inner engine with so many slots: its folds reach two evaluations, of the scores given by
    fold, and do what they are told."""

    def __init__(self, slots, scores, *, saves=True, fails=None, gains=(0.0, 0.0)):
        self.slots, self.scores, self.saves, self.fails, self.log = slots, scores, saves, fails, []
        self.gains = gains  # at the first and the second evaluation

    def run(self, next_trial, on_step, on_eval, on_end, on_snapshot):
        open_ones = []
        while True:
            while len(open_ones) < self.slots and (plan := next_trial()) is not None:
                self.log.append(f"begin {plan.fold}" if plan.snapshot is None else f"go on {plan.fold}")
                open_ones.append((plan, self._train(plan, on_step, on_eval, on_snapshot)))
            if not open_ones:
                return
            for one in list(open_ones):
                plan, training = one
                if (outcome := next(training)) is not None:
                    open_ones.remove(one)
                    on_end(plan, outcome)

    def _train(self, plan, on_step, on_eval, on_snapshot) -> Iterator[Outcome | None]:
        evals = []
        begun = 0 if plan.snapshot is None else plan.snapshot.step
        for index in (1, 2):
            score = self.scores[plan.fold - 1]
            score += self.gains[index - 1]
            scores = encoded(np.full((1, 2), 10 * plan.fold + index))
            metrics, measured = {"eval/accuracy": score, "eval/loss": 1.0}, {"cost/seconds": float(index)}
            point = EvalPoint(index, 5 * index, float(index), metrics, measured, scores)
            step, cost = 5 * index - 1, Cost(samples=40 * index, seconds=1.0)
            if begun < 5 * index:
                verdict = on_step(plan, Step(step, 10, float(index), seconds=1.0))
                if plan.fold == self.fails:
                    yield Failed(FailureReason.OUT_OF_MEMORY, "no memory", (), Cost(seconds=1.0))
                if verdict is Verdict.CONTINUE:
                    self.log.append(f"fold {plan.fold} at {index}")
                    evals.append(point)
                    step, verdict = 5 * index, on_eval(plan, point)
                if verdict is Verdict.INFEASIBLE:
                    yield Failed(FailureReason.INFEASIBLE, "too long", tuple(evals), cost)
                if verdict is Verdict.PRUNE:
                    yield Pruned(tuple(evals), cost)
                if verdict in (Verdict.INTERRUPT, Verdict.PUT_AWAY) and self.saves and step < 10:
                    on_snapshot(plan, encode({"engine": "trainer", "fold": plan.fold}, step))
                    yield Failed(FailureReason.INTERRUPTED, "put away", tuple(evals), cost)
                yield None
            else:
                evals.append(point)
        yield Completed(evals[-1], tuple(evals), Cost(samples=80, seconds=2.0))


def run(inner, *, judge=lambda _: Verdict.CONTINUE, snapshot: Snapshot | None = None, limits=None, **study):
    plan = make_plan(Path("nowhere"), study={"pruner": "racing", **study})
    plan = replace(plan, snapshot=snapshot, limits=limits or {})
    queue, heard, snapshots, outcomes = iter([plan]), [], [], []

    def hear(_, event):
        heard.append(event)
        return judge(event)

    Folded(inner, 3, ROWS).run(
        lambda: next(queue, None),
        hear,
        hear,
        lambda _, outcome: outcomes.append(outcome),
        lambda _, one: snapshots.append(one),
    )
    (outcome,) = outcomes
    return outcome, [event for event in heard if isinstance(event, EvalPoint)], snapshots


def test_folds_without_a_slot_take_turns_at_evaluations():
    inner = Scripted(1, [0.5, 0.6, 0.7])
    outcome, heard, _ = run(inner)
    assert inner.log == [
        "begin 1", "fold 1 at 1", "begin 2", "fold 2 at 1", "begin 3", "fold 3 at 1", "fold 3 at 2",
        "go on 1", "fold 1 at 2", "go on 2", "fold 2 at 2",
    ]  # fmt: skip
    assert [point.metrics["eval/accuracy"] for point in heard] == pytest.approx([0.6, 0.6])
    assert heard[0].metrics["eval/sd/accuracy"] == pytest.approx(0.1)
    assert isinstance(outcome, Completed) and outcome.cost.samples == 240


def test_folds_with_a_slot_each_are_never_put_away():
    inner = Scripted(3, [0.5, 0.6, 0.7])
    run(inner)
    assert not any(line.startswith("go on") for line in inner.log)


@pytest.mark.parametrize("study", [{"pruner": "none"}, {"snapshots": "never"}])
def test_folds_that_cannot_be_judged_or_saved_train_to_their_ends(study):
    inner = Scripted(1, [0.5, 0.6, 0.7])
    outcome, heard, _ = run(inner, **study)
    assert inner.log[:4] == ["begin 1", "fold 1 at 1", "fold 1 at 2", "begin 2"]
    assert len(heard) == 2 and isinstance(outcome, Completed)


def test_a_fold_whose_state_cannot_be_saved_trains_to_its_end():
    inner = Scripted(1, [0.5, 0.6, 0.7], saves=False)
    assert isinstance(run(inner)[0], Completed)
    assert inner.log[2] == "fold 1 at 2"


@pytest.mark.parametrize("slots", [1, 2, 3])
def test_a_pruned_trial_leaves_out_all_that_its_folds_had_before_them(slots):
    inner = Scripted(slots, [0.5, 0.6, 0.7])
    outcome, heard, _ = run(
        inner, judge=lambda event: Verdict.PRUNE if isinstance(event, EvalPoint) else Verdict.CONTINUE
    )
    assert isinstance(outcome, Pruned) and len(outcome.evals) == len(heard) == 1
    assert outcome.cost.seconds >= 3 and "fold 1 at 2" not in inner.log


@pytest.mark.parametrize("verdict", [Verdict.INTERRUPT, Verdict.PUT_AWAY])
@pytest.mark.parametrize("slots", [1, 3])
def test_a_trial_that_is_put_away_goes_on_from_one_snapshot(slots, verdict):
    outcome, heard, snapshots = run(
        Scripted(slots, [0.5, 0.6, 0.7]),
        judge=lambda event: verdict if isinstance(event, EvalPoint) else Verdict.CONTINUE,
    )
    assert isinstance(outcome, Failed) and outcome.reason is FailureReason.INTERRUPTED and len(heard) == 1
    assert snapshots[-1].step == 4 and snapshots[-1].seconds == 3
    inner = Scripted(slots, [0.5, 0.6, 0.7])
    again, later, _ = run(inner, snapshot=snapshots[-1])
    assert isinstance(again, Completed) and [point.index for point in later] == [2] and len(again.evals) == 2


@pytest.mark.parametrize(("gains", "best"), [((0.1, 0.0), 1), ((0.0, 0.1), 2)])
@pytest.mark.parametrize("slots", [1, 2, 3])
def test_the_rows_of_all_folds_are_those_of_the_best_mean(slots, gains, best):
    outcome, _, _ = run(Scripted(slots, [0.5, 0.6, 0.7], gains=gains))
    assert outcome.best.index == best
    assert decoded(outcome.out_of_fold)[:, 0].tolist() == [10 + best, 20 + best, 30 + best]
    judged = run(
        Scripted(slots, [0.5, 0.6, 0.7], gains=gains),
        judge=lambda event: Verdict.INTERRUPT if isinstance(event, EvalPoint) else Verdict.CONTINUE,
    )
    again, _, _ = run(Scripted(slots, [0.5, 0.6, 0.7], gains=gains), snapshot=judged[2][-1])
    assert again.out_of_fold == outcome.out_of_fold


def test_a_snapshot_of_an_earlier_version_has_no_rows_of_folds():
    one = run(
        Scripted(3, [0.5, 0.6, 0.7], gains=(0.1, 0.0)),
        judge=lambda event: Verdict.INTERRUPT if isinstance(event, EvalPoint) else Verdict.CONTINUE,
    )[2][-1]
    state = decode(one, torch.device("cpu"))
    del state["out_of_fold"]
    for member in state["members"]:
        del member["scores"]
    again, _, _ = run(Scripted(3, [0.5, 0.6, 0.7], gains=(0.1, 0.0)), snapshot=encode(state, one.step))
    assert isinstance(again, Completed) and again.best.index == 1 and again.out_of_fold is None


def test_a_trial_fails_with_one_of_its_folds_and_the_others_end():
    inner = Scripted(3, [0.5, 0.6, 0.7], fails=2)
    outcome, heard, _ = run(inner)
    assert isinstance(outcome, Failed) and outcome.reason is FailureReason.OUT_OF_MEMORY
    assert outcome.message == "fold 2: no memory" and heard == []
    assert "fold 1 at 2" not in inner.log


def test_a_snapshot_that_cannot_be_read_begins_the_trial_anew(caplog):
    inner = Scripted(1, [0.5, 0.6, 0.7])
    run(inner, snapshot=Snapshot(b"broken"))
    assert inner.log[0] == "begin 1" and "begins anew" in caplog.text


def test_a_score_that_is_not_finite_in_a_fold_is_not_finite():
    outcome, heard, _ = run(Scripted(3, [0.5, float("nan"), 0.7]))
    assert isinstance(outcome, Failed) and outcome.reason is FailureReason.DIVERGED
    assert heard[0].metrics["eval/accuracy"] != heard[0].metrics["eval/accuracy"]


def test_measured_values_of_folds_are_added_up_or_the_largest() -> None:
    found = together(
        [{"cost/seconds": 1.0, "predict/latency_ms": 3.0}, {"cost/seconds": 2.0, "predict/latency_ms": 2.0}]
    )
    assert found == {"cost/seconds": 3.0, "predict/latency_ms": 3.0}


@pytest.mark.parametrize("asked", [2, 3])
def test_values_that_were_measured_before_a_stop_count_after_it(asked: int) -> None:
    """The first fold, or the first two, were evaluated before the stop."""
    heard = 0

    def judge(_: Step | EvalPoint) -> Verdict:
        nonlocal heard
        heard += 1
        return Verdict.INTERRUPT if heard >= asked else Verdict.CONTINUE

    _, before, snapshots = run(Scripted(1, [0.5, 0.6, 0.7]), judge=judge)
    _, after, _ = run(Scripted(1, [0.5, 0.6, 0.7]), snapshot=snapshots[-1])
    assert before == [] and [point.measured["cost/seconds"] for point in after] == [3.0, 6.0]


@pytest.mark.parametrize("last", [True, False])
def test_a_fold_that_ends_by_itself_does_not_keep_the_others_from_being_put_away(last: bool) -> None:
    """The verdict finds the first fold after its last step, or ahead of it: then the fold went on
    since it could not be saved."""
    plan = make_plan(Path("nowhere"), study={"pruner": "racing"})
    study = StudyCallbacks(lambda _: Verdict.PUT_AWAY, lambda _: Verdict.CONTINUE)
    trial = FoldedTrial.of(plan, 2, ROWS, study=study)
    first, second = trial.members
    first.pulled = second.pulled = True
    total, point = plan.total_steps, EvalPoint(1, plan.total_steps, 2.0, {"eval/accuracy": 0.5, "eval/loss": 1.0})
    assert trial.on_step(first, Step(total if last else total - 1, total, 2.0)) is Verdict.PUT_AWAY
    trial.on_end(first, Completed(point, (point,), Cost(seconds=1.0)))
    trial.on_snapshot(second, encode({"engine": "trainer"}, 1))
    trial.on_end(second, Failed(FailureReason.INTERRUPTED, "put away", (), Cost(seconds=1.0)))
    assert trial.over is last and trial.waiting == ([] if last else [second])
    if last:
        found = trial.outcome()
        assert isinstance(found, Failed) and found.reason is FailureReason.INTERRUPTED


def test_a_limit_of_seconds_is_one_of_all_folds_together():
    outcome, _, _ = run(Scripted(3, [0.5, 0.6, 0.7]), limits={"cost.seconds": 2.5})
    assert isinstance(outcome, Failed) and outcome.reason is FailureReason.INFEASIBLE
    assert isinstance(run(Scripted(3, [0.5, 0.6, 0.7]), limits={"cost.seconds": 3.5})[0], Completed)
