"""The trials and points that a study takes over from others (`study.warm_start`).

Trials of the same experiment, except for its seeds and its search space, have scores that compare
with this study's: the sampler sees them. Of any other run only the best points are of use; they
are tried first, and are trials of this study. Trials of other studies never count in this one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweep.config.domains import Choices, Range
from sweep.config.limits import SIZES, excess
from sweep.config.schema import Scalar
from sweep.errors import UserError
from sweep.plan.plan import Plan
from sweep.records.lock import Lock
from sweep.records.store import Store
from sweep.records.trial import Completed, Pruned, TrialRecord, ranked
from sweep.records.warm_start import WarmRun, WarmTrial, read_warm_start, write_warm_start
from sweep.search.other_studies import learns
from sweep.search.report_steps import ReportSteps
from sweep.study.feasibility import Feasibility
from sweep.study.identity import differing, values_of

_BEST = 3  # points of a run that are tried first


class _LeftOutError(Exception):
    """A trial whose point this study cannot have, or that is beyond one of its limits."""


def warm_start(plan: Plan, store: Store, say: Callable[[str], None]) -> tuple[WarmRun, ...]:
    """Return what the study learns from others, and record it.

    Runs that the record holds are not read again, so that a study that goes on learns the same.
    """
    known = read_warm_start(store.root)
    lock, names = store.lock(), _new(plan, known)
    if not names or lock is None:
        return known
    found = learnt(plan, lock, names, known)
    write_warm_start(store.root, found)
    for run in found[len(known) :]:
        for line in described(run):
            say(line)
    return found


def learnt(plan: Plan, lock: Lock, names: Sequence[str], known: tuple[WarmRun, ...] = ()) -> tuple[WarmRun, ...]:
    """Return the `known` runs, and what is taken over from the run directories in `names`. `lock`
    is that of the plan's study. Writes nothing."""
    shares = _Shares.of(plan, known)
    return (*known, *(_Reader.of(plan, lock, Path(name).absolute()).run(shares) for name in names))


def preview(plan: Plan, lock: Lock) -> list[str]:
    """Return lines of a dry run on what the study would take over."""
    known = read_warm_start(Path(plan.config.run_dir))
    return [line for run in learnt(plan, lock, _new(plan, known), known) for line in described(run)]


def described(run: WarmRun) -> Iterator[str]:
    """Yield lines on what was taken from a run."""
    if run.trials:
        yield f"warm start: the sampler learns from {_count(len(run.trials), 'trial')} of {run.run_dir}; {_first(run)}"
    else:
        why = f", another experiment ({', '.join(run.differs[:_BEST])})" if run.differs else ""
        yield f"warm start: of {run.run_dir}{why}, {_first(run)}"
    for note in run.notes:
        yield f"note: study.warm_start: {note}"


def _first(run: WarmRun) -> str:
    return f"{_count(len(run.points), 'point')} {'is' if len(run.points) == 1 else 'are'} tried first"


def _new(plan: Plan, known: Sequence[WarmRun]) -> list[str]:
    """Return the run directories that the study has not learnt from. One that was moved since, or
    has another name, is known by its id."""
    there, ids = {Path(run.run_dir) for run in known}, {run.run_id for run in known if run.run_id}
    names = (name for name in plan.config.study.warm_start if Path(name).absolute() not in there)
    return [name for name in names if Store(Path(name)).known_identity() not in ids]


@dataclass(slots=True)
class _Shares:
    """Shares out the trials in which points are tried again: at most half of the study's, or of
    those of each choice of `study.compare_by`, and no point twice."""

    key: str | None
    left: dict[Scalar, int]
    taken: list[Mapping[str, Scalar]] = field(default_factory=list)

    @classmethod
    def of(cls, plan: Plan, known: Sequence[WarmRun]) -> _Shares:
        study = plan.config.study
        choices: tuple[Scalar, ...] = plan.space.choices(study.compare_by) or (None,)
        most = max(study.n_trials // len(choices) // 2, 1)
        shares = cls(study.compare_by, dict.fromkeys(choices, most))
        for point in (*study.enqueue, *(point for run in known for point in run.points)):
            shares.take(point)
        return shares

    def take(self, point: Mapping[str, Scalar]) -> bool:
        """Return whether the point may be tried, and count it."""
        value = point.get(self.key) if self.key else None
        if point in self.taken or self.left.get(value, 0) < 1:
            return False
        self.taken.append(point)
        self.left[value] -= 1
        return True

    def taken_of(self, points: Sequence[Mapping[str, Scalar]], most: int) -> list[Mapping[str, Scalar]]:
        """Return the first points that may be tried, `most` of each choice, and count them."""
        chosen: dict[Scalar, list[Mapping[str, Scalar]]] = {}
        for point in points:
            own = chosen.setdefault(point.get(self.key) if self.key else None, [])
            if len(own) < most and self.take(point):
                own.append(point)
        return [point for own in chosen.values() for point in own]


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads the trials of another run as trials at points of this study's search space."""

    plan: Plan
    root: Path
    records: Sequence[TrialRecord]
    best_first: Sequence[TrialRecord]  # completed, by the other run's objective
    values: Mapping[str, Any]  # the other run's config, by key
    differs: tuple[str, ...]
    steps: ReportSteps
    feasibility: Feasibility

    @classmethod
    def of(cls, plan: Plan, lock: Lock, root: Path) -> _Reader:
        store = Store(root)
        other = store.lock()
        assert other is not None, "the plan has checked it"
        records = store.trials()
        searched = {*lock.space, *other.space}
        return cls(
            plan, root, records, ranked(records, other.config.study.objective), values_of(other),
            tuple(differing(lock, other, apart_from=searched)), plan.report_steps, Feasibility.of(plan),
        )  # fmt: skip

    def run(self, shares: _Shares) -> WarmRun:
        """Return what this study takes over."""
        reasons = dict[str, int]()
        found = {record.number: (record, point) for record, point in self._each(reasons)}
        study = self.plan.config.study
        feeds = not self.differs and learns(study.sampler) and study.second is None
        best = [found[record.number][1] for record in self.best_first if record.number in found]
        return WarmRun(
            run_dir=str(self.root),
            run_id=Store(self.root).known_identity(),
            differs=self.differs,
            trials=tuple(self._trial(record, point) for record, point in found.values()) if feeds else (),
            points=tuple(shares.taken_of(best, 1 if feeds else _BEST)),
            left_out=sum(reasons.values()),
            notes=tuple(f"{_count(count, 'trial')} of {self.root} left out: {why}" for why, count in reasons.items()),
        )

    def _each(self, reasons: dict[str, int]) -> Iterator[tuple[TrialRecord, dict[str, Scalar]]]:
        """Yield each trial that completed or was pruned, with its point. Count those that are left
        out by their reasons."""
        for record in self.records:
            if isinstance(record.outcome, Completed | Pruned):
                try:
                    point = self._point(record)
                    self._check_limits(record, point)
                    yield record, point
                except _LeftOutError as error:
                    reasons[str(error)] = reasons.get(str(error), 0) + 1

    def _check_limits(self, record: TrialRecord, point: Mapping[str, Scalar]) -> None:
        """Raise _LeftOutError for a trial beyond a limit of this study. Of another experiment the
        numbers of parameters alone are as here."""
        if not self.feasibility.limits:
            return
        config = self.plan.trial(record.number, point).config
        measured = {**record.measured, **self.feasibility.measured(config, record.outcome)}
        broken = [name for name in excess(self.feasibility.limits, measured) if name in SIZES or not self.differs]
        if broken:
            raise _LeftOutError(f"they are beyond the limit of {' and of '.join(broken)}")

    def _point(self, record: TrialRecord) -> dict[str, Scalar]:
        """Return the point of a trial in this study's space. A key that only this study
        searches has the value of the other's config. A key that only the other searched has this
        study's value, unless the experiments differ: then any.

        Raises _LeftOutError.
        """
        point, strict = dict[str, Scalar](), not self.differs
        for parameter in self.plan.space:
            key = parameter.key
            if not parameter.active(point):
                continue
            if key not in record.params and key not in self.values:
                if strict or key == self.plan.config.study.compare_by:
                    raise _LeftOutError(f"they have no {key}")
                continue
            value = _fitting(parameter.domain, record.params.get(key, self.values.get(key)))
            if not parameter.domain.contains(value):
                raise _LeftOutError(f"their {key} is not in the search space, {parameter.domain}")
            point[key] = value
        extra = {key: value for key, value in record.params.items() if strict and key not in self.plan.space}
        try:
            config = self.plan.experiment.at(point)
            same = not extra or self.plan.experiment.at({**point, **extra}) == config
        except UserError as error:
            raise _LeftOutError(f"{error.faults[0].path} {error.faults[0].message}") from None
        if not same:
            raise _LeftOutError(f"their {' and '.join(extra)} {'are' if len(extra) > 1 else 'is'} not as here")
        return point

    def _trial(self, record: TrialRecord, point: Mapping[str, Scalar]) -> WarmTrial:
        metric, trainer = self.plan.config.study.metric, self.plan.trial(record.number, point).config.trainer
        assert isinstance(record.outcome, Completed | Pruned)
        scores: dict[int, float] = {}
        for one in record.outcome.evals:
            if metric in one.metrics:
                scores.setdefault(max(self.steps.nearest(trainer, one.step), 1), one.metrics[metric])
        return WarmTrial(point, record.best.metrics[metric] if record.best else None, scores)


def _fitting(domain: Range | Choices, value: Any) -> Scalar:
    """Return a value as the domain has it: a config holds whole numbers as floats where a key may
    be either."""
    whole: Scalar = int(value) if isinstance(value, float) and value.is_integer() else value
    return whole if not domain.contains(value) and domain.contains(whole) else value


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
