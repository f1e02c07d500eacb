"""A training outside the search, followed: the same rows to the dashboard as a trial's, and no pruning."""

from __future__ import annotations

from dataclasses import dataclass, field

from sweep.errors import Interrupted
from sweep.records.trial import EvalPoint, Step, Verdict
from sweep.study.session import Session
from sweep.track.tracker import Ending, Run


@dataclass(slots=True)
class Watch:
    session: Session
    run: Run
    title: str
    rows: list[Step | EvalPoint] = field(default_factory=list)

    def step(self, step: Step) -> Verdict:
        if step.metrics:
            self.rows.append(step)
            self.run.log(step.step, step.metrics)
        self.session.view.step(self.title, step)
        return self._verdict()

    def evaluated(self, point: EvalPoint) -> Verdict:
        self.rows.append(point)
        self.run.log(point.step, point.metrics)
        self.session.view.evaluated(self.title, point)
        return self._verdict()

    def _verdict(self) -> Verdict:
        return Verdict.INTERRUPT if self.session.stop.raised else Verdict.CONTINUE


def ended_early(error: BaseException) -> Ending:
    """The ending of a run whose training did not come to one of its own."""
    return Ending("interrupted" if isinstance(error, Interrupted | KeyboardInterrupt) else "crashed")
