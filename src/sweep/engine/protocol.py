"""The protocol between a study and the engine that trains its trials."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from sweep.records.snapshot import Snapshot
from sweep.records.trial import EvalPoint, Outcome, Step, TrialPlan, Verdict

NextTrial = Callable[[], TrialPlan | None]
OnTrialStep = Callable[[TrialPlan, Step], Verdict]
OnTrialEval = Callable[[TrialPlan, EvalPoint], Verdict]
OnTrialEnd = Callable[[TrialPlan, Outcome], None]
OnTrialSnapshot = Callable[[TrialPlan, Snapshot], None]


OnStep = Callable[[Step], Verdict]
OnEval = Callable[[EvalPoint], Verdict]
OnSnapshot = Callable[[Snapshot], None]


@dataclass(frozen=True, slots=True)
class StudyCallbacks:
    """The callbacks of `Engine.run` for one trial."""

    on_step: OnStep
    on_eval: OnEval
    on_snapshot: OnSnapshot = lambda _: None


def no_snapshot(_plan: TrialPlan, _snapshot: Snapshot) -> None:
    """Ignore a snapshot."""


class Engine(Protocol):
    """Pulls the next trial whenever it has a free slot, and reports its steps, evaluations and
    end.

    `on_step` comes after every optimizer step, `on_eval` after every evaluation; a verdict other
    than CONTINUE ends that trial before its next step. After PUT_AWAY it may take one more step
    and evaluation, and a trial that cannot be saved trains to its end. A step without metrics that
    is 0, or was reported before, only asks for a verdict: where a trial was deferred, computes
    much before its first step, or is in a long step or evaluation. `on_end` comes once for each
    trial pulled, in any order.

    `on_snapshot` comes when a snapshot of a trial is due (`study.snapshots`), and before `on_end`
    of a trial that a verdict of INTERRUPT or PUT_AWAY ended, unless it had not gone on since its
    last snapshot. A trial whose plan has a snapshot goes on from it; where that cannot be read, it
    begins anew.
    """

    def run(
        self,
        next_trial: NextTrial,
        on_step: OnTrialStep,
        on_eval: OnTrialEval,
        on_end: OnTrialEnd,
        on_snapshot: OnTrialSnapshot = no_snapshot,
    ) -> None: ...
