"""The methods of a comparison: the retrained winner of a run, or the winner of each choice of
`study.compare_by`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sweep.analysis.predictions import Prediction, read_predictions
from sweep.config.metrics import short_name
from sweep.config.schema import Config, Scalar, Task
from sweep.errors import Fault, UserError
from sweep.records.cost import Cost, total
from sweep.records.counted import counting
from sweep.records.final import FinalRecord
from sweep.records.lock import Lock
from sweep.records.store import Store
from sweep.records.trial import Metrics, TrialRecord
from sweep.records.winner import read_lock


@dataclass(frozen=True, slots=True)
class Entry:
    """A run directory, and the name that the user gave it, if any."""

    root: Path
    name: str = ""


@dataclass(frozen=True, slots=True)
class ComparedMethod:
    """`folder` is `final/` or `methods/VALUE/` of the run; `trials` are those of the search that
    it won; `method` is its value of `study.compare_by`, empty where the study compares nothing."""

    name: str
    method: str
    folder: Path
    lock: Lock
    final: FinalRecord
    predictions: tuple[Prediction, ...]
    trials: tuple[TrialRecord, ...]
    paused: tuple[TrialRecord, ...] = ()  # trials of the search that did not go on

    @property
    def config(self) -> Config:
        return self.final.config

    @property
    def task(self) -> Task:
        return self.lock.config.dataset.task

    @property
    def own_objective(self) -> str | None:
        """Return the state of the code behind an objective of the user's own; None for a metric of
        the task."""
        study, metrics = self.lock.config.study, self.lock.config.dataset.own_metrics
        paths = [path for path in metrics if short_name(path) == study.metric.removeprefix("eval/")]
        return self.lock.versions.get(paths[0]) if paths else None

    @property
    def base(self) -> str:
        return self.config.model.path or str(self.config.model.config)

    @property
    def validation(self) -> Metrics:
        return self.final.validation

    @property
    def searched(self) -> int:
        """Return the number of trials of the search, without those that were tried again."""
        return len(counting(self.trials))

    @property
    def search(self) -> Cost:
        """Return the cost of all trials, and of fresh seeds where there were some."""
        repeats = [self.final.confirmation.cost] if self.final.confirmation else []
        return total([*(trial.outcome.cost for trial in (*self.trials, *self.paused)), *repeats])


def read_methods(entries: Sequence[Entry]) -> tuple[tuple[ComparedMethod, ...], list[Fault]]:
    """Return the methods that can be read, in the order given, and what is wrong with the
    rest."""
    found: list[tuple[ComparedMethod, ...]] = []
    faults = list(_repeated(entries))
    for entry in {one.root.resolve(): one for one in entries}.values():
        try:
            found.append(_run(entry))
        except UserError as error:
            faults += error.faults
    if len(entries) == 1 and not faults and len(found[0]) < 2:
        rule = "holds one method only; name another run directory to compare it with"
        faults.append(Fault(str(entries[0].root), rule))
    named = _named(found)
    return named, faults + list(_namesakes(named))


def _run(entry: Entry) -> tuple[ComparedMethod, ...]:
    store = Store(entry.root)
    lock, records = read_lock(store), store.finals()
    if store.final_dir not in records:
        rule = "has no winner that was retrained and tested yet; wait for it if it still runs, or run its command again"
        raise UserError.of(str(entry.root), rule)
    key, trials, paused = lock.config.study.compare_by or "", store.trials(), store.paused_trials()
    found: list[ComparedMethod] = []
    faults: list[Fault] = []
    for folder, final in records.items():
        method = _typed(final.params[key]) if key in final.params else ""
        own, waiting = (
            tuple(one for one in held if not method or one.params.get(key) == final.params[key])
            for held in (trials, paused)
        )
        try:
            predictions = _predictions(folder, final, lock.config.dataset.task)
            found.append(ComparedMethod(entry.name, method, folder, lock, final, predictions, own, waiting))
        except UserError as error:
            faults += error.faults
    if faults:
        raise UserError(faults)
    return tuple(found)


def _predictions(folder: Path, final: FinalRecord, task: Task) -> tuple[Prediction, ...]:
    """Return the rows. Raises UserError where they are not those that the record tells of."""
    path = folder / "predictions.csv"
    rows = read_predictions(path, task)
    if len(rows) != final.test_rows:
        have = f"holds {len(rows)} rows" if path.exists() else "is missing"
        raise UserError.of(str(path), f"{have}, but the run was tested on {final.test_rows} rows")
    strange = {name for row in rows for name in (*row.label, *row.predicted)} - set(final.label_names)
    if strange:
        raise UserError.of(str(path), f"names {min(strange)!r}, which is no label of the run")
    return rows


def _repeated(entries: Sequence[Entry]) -> Iterator[Fault]:
    times = Counter(entry.root.resolve() for entry in entries)
    for root in dict.fromkeys(entry.root for entry in entries if times[entry.root.resolve()] > 1):
        yield Fault(str(root), "is given more than once; name each run directory once")


def _named(runs: Sequence[tuple[ComparedMethod, ...]]) -> tuple[ComparedMethod, ...]:
    """Return the methods with names: the first of study, title and run directory that tells
    the runs apart."""
    firsts = [run[0] for run in runs]
    choices = (
        [one.lock.config.study.study_name for one in firsts],
        [one.lock.config.title for one in firsts],
        [_root(one).name for one in firsts],
        [str(_root(one)) for one in firsts],
    )
    distinct = next((names for names in choices if all(names) and len(set(names)) == len(names)), choices[-1])
    return tuple(
        replace(one, name=_name(one.name or name, one.method, alone=len(runs) == 1))
        for run, name in zip(runs, distinct, strict=True)
        for one in run
    )


def _name(run: str, method: str, *, alone: bool) -> str:
    return method if alone and method else f"{run} {method}".rstrip()


def _namesakes(found: Sequence[ComparedMethod]) -> Iterator[Fault]:
    for name, times in Counter(one.name for one in found).items():
        if times > 1:
            yield Fault(name, f"names {times} methods; tell them apart with NAME=RUN_DIR")


def _typed(choice: Scalar) -> str:
    """Return the choice as it is typed on a command line, a float to five significant digits."""
    if choice is None:
        return "null"
    if isinstance(choice, bool):
        return str(choice).lower()
    return f"{choice:.5g}" if isinstance(choice, float) else str(choice)


def _root(one: ComparedMethod) -> Path:
    inside = one.folder.resolve()
    return inside.parent if inside.name == "final" else inside.parent.parent
