"""A trial trained again from scratch, outside the search."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sweep.errors import Interrupted
from sweep.records import EvalPoint, Failed, FailureReason, Step, TrialPlan, Verdict
from sweep.study.session import Session
from sweep.track.tracker import Ending, JobType, Run
from sweep.train.trainer import Trained, trained


@dataclass(slots=True)
class Watch:
    """Follows a training: the same rows to the dashboard as a trial's, and no pruning."""

    session: Session
    run: Run
    rows: list[Step | EvalPoint] = field(default_factory=list)

    def step(self, step: Step) -> Verdict:
        if step.metrics:
            self.rows.append(step)
            self.run.log(step.step, step.metrics)
        self.session.view.step(step)
        return self._verdict()

    def evaluated(self, point: EvalPoint) -> Verdict:
        self.rows.append(point)
        self.run.log(point.step, point.metrics)
        self.session.view.evaluated(point)
        return self._verdict()

    def _verdict(self) -> Verdict:
        return Verdict.INTERRUPT if self.session.stop.raised else Verdict.CONTINUE


@contextmanager
def watched(session: Session, plan: TrialPlan, job_type: JobType, title: str) -> Iterator[Watch]:
    """A run on the dashboard, ended as failed by whatever ends the training early."""
    run = session.tracker.open(plan, job_type)
    session.view.begin(plan, title)
    try:
        yield Watch(session, run)
    except BaseException as error:
        run.finish(Ending("interrupted" if isinstance(error, Interrupted | KeyboardInterrupt) else "crashed"))
        raise


@contextmanager
def retrained(session: Session, plan: TrialPlan, watch: Watch) -> Iterator[Trained]:
    """The trained model, as long as the context lasts. Raises Interrupted after Ctrl-C."""
    with trained(
        plan, bench=session.bench, data=session.data, on_step=watch.step, on_eval=watch.evaluated, best_dir=None
    ) as result:
        if isinstance(result.outcome, Failed) and result.outcome.reason is FailureReason.INTERRUPTED:
            again = "the same command goes on from here"
            raise Interrupted(f"stopped while trial {plan.number} was trained again; {again}.")
        yield result
