"""An engine for trials of several folds, around the engine that trains the folds.

The study sees one trial with one score: the mean over the folds. The inner engine sees a training
for each fold, as many as it has slots for: a pack trains the folds of a trial side by side. Where
there are fewer slots than folds, the folds take turns: a fold that is ahead makes way at its
evaluation, with a snapshot, so that the study judges the mean of all folds at each evaluation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from sweep.engine.folded_trial import FoldedTrial, Member
from sweep.engine.protocol import (
    Engine,
    NextTrial,
    OnTrialEnd,
    OnTrialEval,
    OnTrialSnapshot,
    OnTrialStep,
    StudyCallbacks,
    no_snapshot,
)
from sweep.records.snapshot import Snapshot
from sweep.records.trial import EvalPoint, Outcome, Step, TrialPlan, Verdict


@dataclass(frozen=True, slots=True)
class Folded:
    """An `Engine` that trains each trial once for each of its folds, by the engine `inner`. `rows`
    is the number of rows that the first fold trains on."""

    inner: Engine
    folds: int
    rows: int

    def run(
        self,
        next_trial: NextTrial,
        on_step: OnTrialStep,
        on_eval: OnTrialEval,
        on_end: OnTrialEnd,
        on_snapshot: OnTrialSnapshot = no_snapshot,
    ) -> None:
        run = _Run(self, next_trial, on_step, on_eval, on_end, on_snapshot)
        self.inner.run(run.next, run.step, run.evaluated, run.ended, run.snapshot)


@dataclass(slots=True)
class _Run:
    """The callbacks of the inner engine, and the trials that are open."""

    engine: Folded
    next_trial: NextTrial
    on_step: OnTrialStep
    on_eval: OnTrialEval
    on_end: OnTrialEnd
    on_snapshot: OnTrialSnapshot
    trials: dict[tuple[int, int], FoldedTrial] = field(default_factory=dict)

    def next(self) -> TrialPlan | None:
        """Return the plan of the next fold: of an open trial, or of a further one."""
        while (member := next(self._waiting(), None)) is None:
            if (plan := self.next_trial()) is None:
                return None
            self._open(plan)
        member.pulled = True
        return replace(member.plan, snapshot=member.snapshot)

    def step(self, plan: TrialPlan, step: Step) -> Verdict:
        return self.trials[plan.key].on_step(self._member(plan), step)

    def evaluated(self, plan: TrialPlan, point: EvalPoint) -> Verdict:
        return self.trials[plan.key].on_eval(self._member(plan), point)

    def ended(self, plan: TrialPlan, outcome: Outcome) -> None:
        trial = self.trials[plan.key]
        trial.on_end(self._member(plan), outcome)
        self._close_if_over(trial)

    def snapshot(self, plan: TrialPlan, snapshot: Snapshot) -> None:
        trial = self.trials[plan.key]
        trial.on_snapshot(self._member(plan), snapshot)
        if not trial.mean.ended and (whole := trial.snapshot(whole=True)) is not None:
            self.on_snapshot(trial.plan, whole)

    def _waiting(self) -> Iterator[Member]:
        return (member for trial in self.trials.values() for member in trial.waiting)

    def _open(self, plan: TrialPlan) -> None:
        study = StudyCallbacks(lambda step: self.on_step(plan, step), lambda point: self.on_eval(plan, point))
        trial = FoldedTrial.of(plan, self.engine.folds, self.engine.rows, study=study)
        self.trials[plan.key] = trial
        self._close_if_over(trial)  # the snapshot of a trial whose folds had all ended

    def _close_if_over(self, trial: FoldedTrial) -> None:
        if not trial.over:
            return
        del self.trials[trial.plan.key]
        if not trial.mean.ended and (left := trial.snapshot(whole=False)) is not None:
            self.on_snapshot(trial.plan, left)
        self.on_end(trial.plan, trial.outcome())

    def _member(self, plan: TrialPlan) -> Member:
        return self.trials[plan.key].members[plan.fold - 1]
