"""The record of a trial whose file was damaged, from what Optuna and the trial's events still say."""

from __future__ import annotations

from collections.abc import Sequence

from optuna.trial import FrozenTrial, TrialState

from sweep.records import Completed, Cost, EvalPoint, Failed, FailureReason, Outcome, Pruned, Step
from sweep.study.among import RETRIED


def salvaged(trial: FrozenTrial, events: Sequence[Step | EvalPoint], metric: str) -> Outcome:
    """How a trial ended that Optuna was told the end of. Its cost is the seconds and the steps alone; what the evaluations
    lack, because events were damaged too, is left out."""
    evals = tuple(event for event in events if isinstance(event, EvalPoint))
    attributes = trial.user_attrs
    cost = Cost(
        seconds=float(attributes.get("seconds", 0.0)), steps=max((event.step for event in events), default=0),
        engine=str(attributes.get("engine", "")),
    )  # fmt: skip
    if trial.state is TrialState.COMPLETE:
        best = _best(trial, evals, metric)
        return Completed(best, evals or (best,), cost)
    if trial.state is TrialState.PRUNED:
        return Pruned(evals, cost)
    told = str(attributes.get("outcome", FailureReason.CRASHED))
    reason = FailureReason(told) if told in set(FailureReason) else FailureReason.CRASHED
    message = str(attributes.get("message", "its record was damaged"))
    return Failed(reason, message, evals, cost, given_up=reason.retried and RETRIED not in attributes)


def _best(trial: FrozenTrial, evals: Sequence[EvalPoint], metric: str) -> EvalPoint:
    """The evaluation that has the trial's score."""
    same = [point for point in evals if point.metrics.get(metric) == trial.value]
    if same:
        return same[0]
    assert trial.value is not None, "a completed trial has a score"
    return EvalPoint(1, 0, float(trial.user_attrs.get("best_epoch", 0.0)), {metric: trial.value})
