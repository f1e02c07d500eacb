"""A trial of several folds: one training a fold, and the mean of their evaluations.

The trainings of the folds are called its members. An engine sees members, and the study sees the
trial.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import stdev
from typing import Any

import torch

from sweep.config.limits import excess, times
from sweep.config.metrics import fold_metric, sd_metric
from sweep.config.steps import evaluation_steps
from sweep.engine.clock import Clock
from sweep.engine.evaluation import Measured
from sweep.engine.out_of_fold import joined
from sweep.engine.protocol import StudyCallbacks
from sweep.engine.snapshot import decode, encode
from sweep.engine.trial_state import TrialState
from sweep.engine.trial_steps import TrialSteps
from sweep.records.cost import Cost, total, unfinished_cost
from sweep.records.device_time import DeviceTime, added
from sweep.records.snapshot import BrokenSnapshotError, Snapshot
from sweep.records.trial import Completed, EvalPoint, Failed, FailureReason, Metrics, Outcome, Step, TrialPlan, Verdict

logger = logging.getLogger(__name__)

_STOPS = (Verdict.INTERRUPT, Verdict.PUT_AWAY)


@dataclass(slots=True)
class Member:
    """The training of one fold.

    `pulled`: an engine has it. `step` counts in steps of the first fold, which has the fewest.
    `asked`: it was told to make way before its last step, and has not ended since.
    """

    plan: TrialPlan
    evals: list[EvalPoint] = field(default_factory=list)
    step: int = 0
    epoch: float = 0.0
    seconds: float = 0.0
    cost: Cost = Cost()
    snapshot: Snapshot | None = None
    fresh: bool = False  # its snapshot is newer than that of the trial
    pulled: bool = False
    ended: bool = False
    asked: bool = False

    @property
    def fold(self) -> int:
        return self.plan.fold

    def take(self, point: EvalPoint) -> None:
        """Take in an evaluation; one that comes again after a stop replaces the earlier one."""
        del self.evals[point.index - 1 :]
        self.evals.append(point)

    def forget_scores(self, count: int) -> None:
        """Drop the scores of the rows at the first `count` evaluations."""
        self.evals[:count] = [replace(point, scores=None) for point in self.evals[:count]]


@dataclass(slots=True)
class FoldedTrial:
    """A trial, its members, and their mean.

    `study` are the callbacks of the trial for steps and evaluations. `mean` holds the evaluations
    that all folds have reached, the best of them, and why the trial ends. `out_of_fold` holds the
    scores of the rows of all folds at the best of them, as in `Completed`; None where a snapshot
    did not have them. `stop` is a verdict of the study that interrupts the trial or puts it away,
    and holds for all members.
    """

    plan: TrialPlan
    members: list[Member]
    rows: int  # of the first fold's train part
    study: StudyCallbacks
    mean: TrialState = field(init=False)
    logged: dict[int, dict[int, Metrics]] = field(default_factory=dict)  # by step and fold, until all folds are there
    out_of_fold: bytes | None = None
    stop: Verdict = Verdict.CONTINUE

    def __post_init__(self) -> None:
        settings = self.plan.settings
        self.mean = TrialState(settings, Clock(), self.study, TrialSteps.of(self.rows, settings.trainer))

    @classmethod
    def of(cls, plan: TrialPlan, folds: int, rows: int, *, study: StudyCallbacks) -> FoldedTrial:
        """Return a trial that begins, or goes on from the snapshot of its plan."""
        members = [Member(_member_plan(plan, fold)) for fold in range(1, folds + 1)]
        found = cls(plan, members, rows, study)
        if plan.snapshot is not None:
            try:
                found._load(decode(plan.snapshot, torch.device("cpu")))
            except BrokenSnapshotError as error:
                logger.warning("trial %d begins anew: its snapshot %s", plan.number, error)
        return found

    @property
    def waiting(self) -> list[Member]:
        """Return the members that an engine is to train, those with the fewest evaluations
        first."""
        if self.mean.ended or self.stop in _STOPS:
            return []
        left = [member for member in self.members if not member.pulled and not member.ended]
        return sorted(left, key=lambda member: (len(member.evals), member.fold))

    @property
    def over(self) -> bool:
        """Return whether no member trains or waits."""
        return not self.waiting and not any(member.pulled for member in self.members)

    @property
    def takes_turns(self) -> bool:
        """Return whether a member makes way for others at an evaluation: where the trial may end
        there, and where a snapshot lets the member go on."""
        study, settings = self.plan.config.study, self.plan.settings
        judged = study.pruner != "none" or settings.trainer.early_stopping_patience is not None
        return judged and settings.snapshot_every is not None

    def on_step(self, member: Member, step: Step) -> Verdict:
        """Take in a step of a member, and return the verdict on it."""
        if self.mean.ended:
            return Verdict.PRUNE
        member.step = step.step * self.plan.total_steps // max(step.total_steps, 1)
        member.seconds, member.epoch = step.seconds, step.epoch
        if step.metrics:
            self.logged.setdefault(step.step, {})[member.fold] = step.metrics
            self._report_logged()
        verdict = self._report({}, min(one.step for one in self.members), min(one.epoch for one in self.members))
        beyond = excess(self.plan.limits, times(math.fsum(one.seconds for one in self.members)))
        return self._told(member, Verdict.INFEASIBLE if beyond and verdict is Verdict.CONTINUE else verdict)

    def on_eval(self, member: Member, point: EvalPoint) -> Verdict:
        """Take in an evaluation of a member, and report the means that are complete by it. Return
        the verdict for the member: it is put away where other folds of the trial wait to come as
        far."""
        if self.mean.ended:
            return Verdict.PRUNE
        member.take(point)
        while not self.mean.ended and (due := self._next_mean()) is not None:
            self._report_mean(due)
            self._report_logged()
        if self.mean.ended:
            return Verdict.PRUNE
        if self.stop in _STOPS:
            return self._told(member, self.stop)
        behind = any(len(one.evals) < len(member.evals) for one in self.waiting)
        return self._told(member, Verdict.PUT_AWAY if behind and self.takes_turns else Verdict.CONTINUE)

    def on_end(self, member: Member, outcome: Outcome) -> None:
        """Take in the end of a member. One that made way waits to go on."""
        member.pulled, member.cost, member.seconds = False, outcome.cost, outcome.cost.seconds
        asked, member.asked = member.asked, False
        match outcome:
            case Failed(reason=FailureReason.INTERRUPTED):
                pass
            case Failed(reason=reason, message=message):
                member.ended = True
                self.mean.fail(reason, f"fold {member.fold}: {message}")
            case _:
                member.ended, member.snapshot, member.fresh = True, None, False
                if asked and self.stop is Verdict.PUT_AWAY:  # it could not be saved: all folds train to their ends
                    self.stop = Verdict.CONTINUE

    def on_snapshot(self, member: Member, snapshot: Snapshot) -> None:
        member.snapshot, member.fresh = snapshot, True

    def snapshot(self, *, whole: bool) -> Snapshot | None:
        """Return the snapshot of the trial: with `whole` where each member that has not ended has
        a new one, else where any has; None otherwise."""
        left = [member for member in self.members if not member.ended]
        due = all(member.fresh for member in left) if whole else any(member.fresh for member in left)
        if not left or not due:
            return None
        for member in left:
            member.fresh = False
        places = added(time for member in self.members for time in _devices(member))
        seconds = math.fsum(member.seconds for member in self.members)
        return encode(self._state(), min(member.step for member in self.members), seconds=seconds, devices=places)

    def outcome(self) -> Outcome:
        """Return the outcome of a trial that is `over`: with the costs of all folds together."""
        cost = self._cost()
        if not self.mean.ended and not all(member.ended for member in self.members):
            self.mean.fail(FailureReason.INTERRUPTED, f"after step {min(member.step for member in self.members)}")
        found = self.mean.outcome(cost)
        return replace(found, out_of_fold=self.out_of_fold) if isinstance(found, Completed) else found

    def _told(self, member: Member, verdict: Verdict) -> Verdict:
        """Return the verdict for a member, and note that it is to make way. After its last step it
        has no way to make."""
        if verdict is Verdict.PUT_AWAY and member.step < self.plan.total_steps:
            member.asked = True
        return verdict

    def _next_mean(self) -> EvalPoint | None:
        """Return the mean of the next evaluation that all folds have reached; None where some fold
        has not."""
        index = len(self.mean.evals)
        points = [member.evals[index] for member in self.members if len(member.evals) > index]
        if len(points) < len(self.members):
            return None
        first = points[0]
        metrics = mean_metrics([point.metrics for point in points])
        measured = together([point.measured for point in points])
        return EvalPoint(index + 1, first.step, first.epoch, metrics | self._by_fold(points), measured)

    def _by_fold(self, points: Sequence[EvalPoint]) -> dict[str, float]:
        """Return the scores of the folds by the study's metric, and their standard deviation."""
        objective = self.mean.settings.objective
        scores = [objective.of(point.metrics) for point in points]
        named = {fold_metric(objective.metric, number): score for number, score in enumerate(scores, start=1)}
        spread = stdev(scores) if all(map(math.isfinite, scores)) else math.nan
        return {**named, sd_metric(objective.metric): spread}

    def _report_mean(self, point: EvalPoint) -> None:
        self.mean.step, self.mean.epoch = point.step, point.epoch
        if self.mean.add(point.step, point.epoch, point.metrics):
            parts = [member.evals[point.index - 1].scores for member in self.members]
            known = [part for part in parts if part is not None]
            self.out_of_fold = joined(known) if len(known) == len(parts) else None
        for member in self.members:
            member.forget_scores(point.index)
        verdict = self.study.on_eval(point)
        self._stop_by(verdict)
        self.mean.judge(Verdict.CONTINUE if verdict in _STOPS else verdict)

    def _report_logged(self) -> None:
        """Report the mean of logged steps that all folds have reached, up to the next evaluation
        to be reported, which comes before later steps."""
        steps = evaluation_steps(self.rows, self.plan.settings.trainer)
        last = steps[min(len(self.mean.evals), len(steps) - 1)]
        for step in sorted(self.logged):
            found = self.logged[step]
            if step <= last and len(found) == len(self.members):
                del self.logged[step]
                self._report(mean_metrics([found[fold] for fold in sorted(found)]), step, found[1]["train/epoch"])

    def _report(self, metrics: Metrics, step: int, epoch: float) -> Verdict:
        seconds = math.fsum(member.seconds for member in self.members)
        verdict = self.study.on_step(Step(step, self.plan.total_steps, epoch, metrics, seconds))
        self._stop_by(verdict)
        return self.stop if self.stop in _STOPS else verdict

    def _stop_by(self, verdict: Verdict) -> None:
        """Note a verdict that stops all members, those that wait included. A trial without
        snapshots is not put away."""
        saved = self.plan.settings.snapshot_every is not None
        if verdict is Verdict.INTERRUPT or (verdict is Verdict.PUT_AWAY and saved):
            self.stop = verdict

    def _cost(self) -> Cost:
        costs = [_cost_of(member) for member in self.members]
        losses = [cost.train_loss for cost in costs if cost.train_loss is not None]
        return replace(
            total(costs),
            trained_parameters=max(cost.trained_parameters for cost in costs),
            measured=together([cost.measured for cost in costs]),
            train_loss=math.fsum(losses) / len(losses) if len(losses) == len(costs) else None,
        )

    def _state(self) -> dict[str, Any]:
        return {
            "members": [_member_state(member) for member in self.members],
            "logged": [[step, list(found.items())] for step, found in self.logged.items()],
            "out_of_fold": _stored(self.out_of_fold),
        }

    def _load(self, state: Mapping[str, Any]) -> None:
        for member, saved in zip(self.members, state["members"], strict=True):
            _load_member(member, saved)
        self.logged = {step: {fold: dict(metrics) for fold, metrics in found} for step, found in state["logged"]}
        self.out_of_fold = _read(state.get("out_of_fold"))
        while (known := self._next_mean()) is not None:  # the study has heard of them
            self.mean.step, self.mean.epoch = known.step, known.epoch
            self.mean.add(known.step, known.epoch, known.metrics)


def mean_metrics(found: Sequence[Metrics]) -> dict[str, float]:
    """Return the mean of each metric that all of `found` have."""
    shared = [name for name in found[0] if all(name in metrics for metrics in found)]
    return {name: math.fsum(metrics[name] for metrics in found) / len(found) for name in shared}


def mean_measured(found: Sequence[Measured]) -> Measured:
    """Return the mean of each metric over several evaluations, NaN where it failed in one of
    them."""
    failed = {name: reason for one in reversed(found) for name, reason in one.failed.items()}
    return Measured(mean_metrics([one.values for one in found]), failed)


def together(found: Sequence[Metrics]) -> dict[str, float]:
    """Return the measured values of all folds together: seconds are added up, of sizes and of the
    latency the largest counts."""
    names = dict.fromkeys(name for measured in found for name in measured)
    values = {name: [measured[name] for measured in found if name in measured] for name in names}
    return {name: math.fsum(each) if name.endswith("seconds") else max(each) for name, each in values.items()}


def _member_plan(plan: TrialPlan, fold: int) -> TrialPlan:
    """Return the plan of a member. Patience counts the mean, and no model of a fold is kept."""
    trainer = plan.config.trainer.model_copy(
        update={"early_stopping_patience": None, "early_stopping_threshold": 0.0, "save_best": False}
    )
    return replace(plan, config=plan.config.model_copy(update={"trainer": trainer}), fold=fold, snapshot=None)


def _cost_of(member: Member) -> Cost:
    """Return what a member took up to now. One that waits since an earlier process has a snapshot
    alone to tell it."""
    known = member.cost != Cost() or member.snapshot is None
    return member.cost if known else unfinished_cost(member.snapshot, DeviceTime(), member.seconds)


def _devices(member: Member) -> Sequence[DeviceTime]:
    return member.cost.on_devices if member.snapshot is None else member.snapshot.devices


def _member_state(member: Member) -> dict[str, Any]:
    return {
        "data": _stored(None if member.snapshot is None else member.snapshot.data),
        "ended": member.ended,
        "step": member.step,
        "epoch": member.epoch,
        "seconds": member.seconds,
        "evals": [
            (point.index, point.step, point.epoch, dict(point.metrics), dict(point.measured)) for point in member.evals
        ],
        "scores": [_stored(point.scores) for point in member.evals],
        "cost": {**asdict(member.cost), "devices": [asdict(one) for one in member.cost.devices]},
    }


def _load_member(member: Member, saved: Mapping[str, Any]) -> None:
    if (data := _read(saved["data"])) is not None:
        member.snapshot = Snapshot(data)
    member.ended, member.step, member.epoch = saved["ended"], saved["step"], saved["epoch"]
    member.seconds = saved["seconds"]
    scores = saved.get("scores") or [None] * len(saved["evals"])  # older snapshots have none
    points = [EvalPoint(*point) for point in saved["evals"]]  # those of older snapshots have no measured values
    member.evals = [replace(point, scores=_read(data)) for point, data in zip(points, scores, strict=True)]
    times = tuple(DeviceTime(**one) for one in saved["cost"]["devices"])
    member.cost = Cost(**{**saved["cost"], "devices": times})


def _stored(data: bytes | None) -> torch.Tensor | None:
    """Return bytes as a tensor, as snapshots hold them."""
    return None if data is None else torch.frombuffer(bytearray(data), dtype=torch.uint8)


def _read(stored: torch.Tensor | None) -> bytes | None:
    return None if stored is None else stored.numpy().tobytes()
