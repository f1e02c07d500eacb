"""The callbacks of a training outside the search: its rows go to the tracker, and nothing is
pruned."""

from __future__ import annotations

from dataclasses import dataclass, field

from sweep.errors import Interrupted
from sweep.records.trial import EvalPoint, Step, Verdict
from sweep.study.session import Session
from sweep.track.tracker import Ending, Run


@dataclass(slots=True)
class Watch:
    """Logs the steps and evaluations of a training, and keeps them in `rows`."""

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
    """Return the ending of a run whose training an error has ended."""
    return Ending("interrupted" if isinstance(error, Interrupted | KeyboardInterrupt) else "crashed")
