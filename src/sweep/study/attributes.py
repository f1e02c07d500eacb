"""The end of a trial as user attributes of its Optuna trial, and the outcome read back from them.

The second direction serves trials whose record was damaged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from optuna.trial import FrozenTrial, TrialState

from sweep.config.measured import MEASURED, limit_name
from sweep.config.schema import Scalar, StudyConfig
from sweep.config.secrets import scrub
from sweep.records.cost import Cost
from sweep.records.trial import Completed, EvalPoint, Failed, FailureReason, Outcome, Pruned, Step
from sweep.search.constraints import OUTCOME
from sweep.search.promotion import PAUSED_AT, Decision
from sweep.study.trial_groups import RETRIED

_EPOCH, _SECONDS, _ENGINE, _MESSAGE = "best_epoch", "seconds", "engine", "message"
# How often a trial that goes on was lost without getting further, the step that it had reached at
# its last loss, and the mark of its beginning before that (`Marks.begun`).
LOSSES, LOST_AT, LOST_BEGUN = "losses", "lost_at_step", "lost_begun"
STOPPED_AT = "stopped_at"  # the report step at which the pruner stopped the trial
PROMOTIONS = "promotions"  # how often a paused trial was promoted
# The attribute that notes the report step of a decision.
NOTED = {Decision.STOP: STOPPED_AT, Decision.PAUSE: PAUSED_AT}
_LONGEST = 1000  # characters of a message in a column of a dashboard


def attributes(outcome: Outcome) -> dict[str, Scalar]:
    """Return the user attributes of a trial that has ended.

    `optuna-dashboard` shows them beside its values and score.
    """
    found: dict[str, Scalar] = {}
    if outcome.cost.seconds:
        found[_SECONDS] = round(outcome.cost.seconds, 3)
    if outcome.cost.engine:
        found[_ENGINE] = outcome.cost.engine
    match outcome:
        case Completed(best=best):
            return {OUTCOME: "completed", _EPOCH: best.epoch, **best.metrics, **found}
        case Pruned():
            return {OUTCOME: "pruned", **found}
        case Failed(reason=reason, message=message):
            return {OUTCOME: str(reason), _MESSAGE: scrub(message)[:_LONGEST], **found}


def noted_decision(attributes: Mapping[str, object], step: int) -> Decision:
    """Return what the pruner decided on a trial for its score at a report step. A trial that was
    promoted since then goes on."""
    return next((one for one, name in NOTED.items() if attributes.get(name) == step), Decision.GO_ON)


def recovered_outcome(trial: FrozenTrial, events: Sequence[Step | EvalPoint], study: StudyConfig) -> Outcome:
    """Return the outcome of a trial that has ended in Optuna, from its user attributes and its
    events.

    The cost holds the seconds, the steps, the engine, and a measured value that is the study's
    second objective. Evaluations whose events cannot be read are missing.
    """
    evals = tuple(event for event in events if isinstance(event, EvalPoint))
    known = trial.user_attrs
    cost = Cost(
        seconds=float(known.get(_SECONDS, 0.0)), steps=max((event.step for event in events), default=0),
        engine=str(known.get(_ENGINE, "")),
    )  # fmt: skip
    if trial.state is TrialState.COMPLETE:
        best = _best(trial, evals, study)
        return Completed(best, evals or (best,), replace(cost, measured=_measured(trial, study)))
    if trial.state is TrialState.PRUNED:
        return Pruned(evals, cost)
    state = str(known.get(OUTCOME, FailureReason.CRASHED))
    reason = FailureReason(state) if state in set(FailureReason) else FailureReason.CRASHED
    message = str(known.get(_MESSAGE, "its record was damaged"))
    over = {name: value for name, value in trial.constraints.items() if value > 0 and name != reason}
    excess = over if reason is FailureReason.INFEASIBLE else {}
    return Failed(reason, message, evals, cost, given_up=reason.retried and RETRIED not in known, excess=excess)


def _measured(trial: FrozenTrial, study: StudyConfig) -> dict[str, float]:
    """Return the second objective of the trial by the name of its limit, where it is measured."""
    second = study.second_metric
    if second is None or second not in MEASURED or len(trial.values) < 2:
        return {}
    return {limit_name(second): trial.values[1]}


def _best(trial: FrozenTrial, evals: Sequence[EvalPoint], study: StudyConfig) -> EvalPoint:
    """Return the evaluation that has the trial's score, or one made from the user attributes."""
    assert trial.values, "a completed trial has a score"
    score = trial.values[0]  # of the first of two objectives
    same = [point for point in evals if point.metrics.get(study.metric) == score]
    if (best := study.objective.best(same, lambda point: point.metrics)) is not None:
        return best
    return EvalPoint(1, 0, float(trial.user_attrs.get(_EPOCH, 0.0)), _scores(trial, study))


def _scores(trial: FrozenTrial, study: StudyConfig) -> dict[str, float]:
    """Return the values of the trial's objectives that an evaluation has, by metric."""
    names = (study.metric, *([study.second_metric] if study.second_metric else []))
    return {name: value for name, value in zip(names, trial.values, strict=False) if name not in MEASURED}
