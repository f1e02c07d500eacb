"""The state of a study in numbers: its trials by state, the best score, and the work that goes on
now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from sweep.config.schema import StudyConfig
from sweep.records.counted import counts
from sweep.records.trial import Metrics, Step, TrialPlan, TrialRecord, ranked
from sweep.track.tracker import JobType

DEVICE_HOURS = "study/device_hours"

_MEASURABLE = 0.5  # seconds: a speed over less is chance

_Key = tuple[JobType, int, int]  # job type, number and seed


@dataclass(slots=True)
class _Training:
    """A training that runs, on so many `rows` of a mean length in `tokens`. `epoch` and
    `seconds` are None until a resumed training says where it goes on."""

    job_type: JobType
    rows: int
    tokens: float | None
    epoch: float | None
    seconds: float | None
    stepped: bool = False


@dataclass(slots=True)
class StudyProgress:
    """Counts what happens. `waiting` is the number of trials that are put away until they go on,
    `paused` that of trials that wait for a promotion; `device_seconds` are those of all trainings
    so far."""

    study: StudyConfig
    device_seconds: float = 0.0
    waiting: int = 0
    paused: int = 0
    best: TrialRecord | None = None
    _states: Counter[str] = field(default_factory=Counter)  # of the trials that have ended
    _stopped: int = 0  # trials that failed on the way, whose points are tried again
    _running: dict[_Key, _Training] = field(default_factory=dict)
    _completed: list[TrialRecord] = field(default_factory=list)  # with two objectives
    _rows: float = 0.0  # trained since the last `metrics`
    _tokens: float = 0.0
    _tokens_known: bool = True

    def begin(self, plan: TrialPlan, job_type: JobType, *, rows: int, tokens: float | None) -> None:
        """Note a training that begins, or goes on from a snapshot."""
        new = plan.snapshot is None and not plan.kept_on_worker  # a worker may have its snapshot
        epoch = 0.0 if new else None
        seconds = epoch if plan.snapshot is None else plan.snapshot.seconds
        self._running[job_type, *plan.key] = _Training(job_type, rows, tokens, epoch, seconds)
        self._tokens_known = self._tokens_known and tokens is not None

    def step(self, plan: TrialPlan, job_type: JobType, step: Step) -> None:
        """Note how far a training is."""
        if (training := self._running.get((job_type, *plan.key))) is None:
            return
        training.stepped = training.stepped or step.step > 0
        self._spend(training, step.seconds)
        trained = 0.0 if training.epoch is None else training.rows * max(step.epoch - training.epoch, 0.0)
        training.epoch = step.epoch
        self._rows += trained
        self._tokens += trained * (training.tokens or 0.0)

    def over(self, plan: TrialPlan, job_type: JobType, *, seconds: float = 0.0) -> None:
        """Note a training that has ended or was put away, after so many `seconds` in all."""
        if (training := self._running.pop((job_type, *plan.key), None)) is not None:
            self._spend(training, seconds)

    def ended(self, record: TrialRecord) -> bool:
        """Count a trial that has ended. Return whether it is the best so far."""
        if not counts(record.outcome):
            self._stopped += 1
            return False
        self._states[record.state] += 1
        known = self._completed if self.study.second else [self.best] if self.best else []
        best = next(iter(ranked([*known, record], self.study.objective)), None)
        if self.study.second and record.best is not None:  # the choice among all is not that among two
            self._completed.append(record)
        self.best = best
        return best is record

    def metrics(self, seconds: float) -> Metrics:
        """Return the numbers by name, `study/…`, with the speed over the last `seconds`."""
        running, states = self._running.values(), self._states
        failed = {state: count for state, count in states.items() if state not in ("completed", "pruned")}
        found: dict[str, float] = {
            "study/trials_running": sum(one.job_type is JobType.TRIAL for one in running),
            "study/trials_put_away": self.waiting,
            "study/trials_paused": self.paused,
            "study/trials_completed": states["completed"],
            "study/trials_pruned": states["pruned"],
            "study/trials_failed": sum(failed.values()),
            "study/trials_ended": states.total(),
            "study/trials_stopped": self._stopped,
            **{f"study/failed_{reason}": count for reason, count in failed.items()},
            "study/slots_in_use": sum(one.stepped for one in running),
            DEVICE_HOURS: self.device_seconds / 3600,
        }
        if self.best is not None and self.best.best is not None:
            score = self.best.best.metrics[self.study.metric]
            found |= {"study/best_score": score, "study/best_trial": self.best.number}
        return found | self._speed(seconds)

    def __str__(self) -> str:
        counts = [f"{count} {state}" for state, count in sorted(self._states.items())] or ["none has ended"]
        states = ", ".join([*counts, f"{self._stopped} stopped on the way"] if self._stopped else counts)
        if self.best is None or self.best.best is None:
            return f"Trials: {states}."
        score = self.best.best.metrics[self.study.metric]
        return f"Trials: {states}. Best: trial {self.best.number}, {self.study.metric} {score:.4f}."

    def _speed(self, seconds: float) -> dict[str, float]:
        rows, tokens = self._rows, self._tokens
        self._rows = self._tokens = 0.0
        if seconds < _MEASURABLE:
            return {}
        found = {"study/rows_per_second": rows / seconds}
        return {**found, "study/tokens_per_second": tokens / seconds} if self._tokens_known else found

    def _spend(self, training: _Training, seconds: float) -> None:
        before = seconds if training.seconds is None else training.seconds
        self.device_seconds += max(seconds - before, 0.0)
        training.seconds = max(seconds, before)


def of_records(study: StudyConfig, trials: Sequence[TrialRecord], device_seconds: float) -> StudyProgress:
    """Return the state after the trials of earlier processes."""
    progress = StudyProgress(study, device_seconds)
    for trial in trials:
        progress.ended(trial)
    return progress
