"""What has to hold of a run directory after a study, however often the study was killed.

Each function returns sentences on what does not hold.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from sweep.errors import UserError
from sweep.records.cost import Cost
from sweep.records.final import FinalRecord, Refit
from sweep.records.store import Store, refit_dir
from sweep.records.trial import Completed, EvalPoint, Failed, Step, TrialRecord
from sweep.track.mock_received import ReceivedRun, received_runs
from sweep.track.mock_settings import FOLDER

_TEMPORARY = ("**/*.tmp", "**/*.new", "**/*.old", "**/*.partial", "**/*.damaged*", "trials/*/running",
              "trials/*/paused.json", "trials/*/disk_failed", "snapshots/*", "unfinished/*", ".open_runs/*",
              ".scratch/*")  # fmt: skip
_STATES = {"completed": TrialState.COMPLETE, "pruned": TrialState.PRUNED}
_OWN_TRACKER_FILES = ("wandb", FOLDER)


def broken(whole: Path, killed: Path, *, storage: str | None = None, study_name: str = "quickstart") -> list[str]:
    """Return how the run directory `killed` differs from that of an uninterrupted run, and which
    rule of a run directory it breaks. `storage` is the address of Optuna's storage, None for
    the file in the run directory."""
    address = storage or f"sqlite:///{killed / 'study.db'}"
    try:
        Store(killed).trials()
    except UserError as error:
        return [f"a record cannot be read: {error}"]
    ours, theirs = Store(killed), Store(whole)
    return [
        *_unreadable(ours), *_leftovers(killed), *_optuna(ours, address, study_name), *_other_trials(ours, theirs),
        *_other_rows(ours, theirs), *_other_repeats(ours, theirs), *_other_finals(ours, theirs), *_readings(ours),
        *_other_runs(killed, whole), *_missing_files(killed, whole),
    ]  # fmt: skip


def _unreadable(store: Store) -> Iterator[str]:
    """Yield each file of JSON that is none."""
    for path in sorted(store.root.rglob("*.json*")):
        if any(part in _OWN_TRACKER_FILES for part in path.relative_to(store.root).parts):
            continue
        lines = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
        for line in lines:
            try:
                json.loads(line)
            except ValueError:
                yield f"{path.relative_to(store.root)} has a line that is no JSON: {line[:60]!r}"


def _leftovers(folder: Path) -> Iterator[str]:
    for pattern in _TEMPORARY:
        for path in sorted(folder.glob(pattern)):
            if path.relative_to(folder).parts[0] != "wandb":  # the client's own
                yield f"{path.relative_to(folder)} is left"


def _optuna(store: Store, address: str, name: str) -> Iterator[str]:
    """Yield trials whose end in Optuna's storage is not that of their record."""
    trials = optuna.load_study(study_name=name, storage=address).trials
    records = {record.number: record for record in store.trials()}
    if missing := sorted({trial.number for trial in trials} ^ records.keys()):
        yield f"trials {missing} are only in one of Optuna's storage and the records"
    for trial in trials:
        if (record := records.get(trial.number)) is not None:
            yield from _told(trial, record)


def _told(trial: FrozenTrial, record: TrialRecord) -> Iterator[str]:
    state = _STATES.get(record.outcome.kind, TrialState.FAIL)
    if trial.state is not state:
        yield f"trial {trial.number}: its record is {record.state}, and Optuna has {trial.state.name}"
    if trial.params != dict(record.params):
        yield f"trial {trial.number}: its record has {dict(record.params)}, and Optuna {trial.params}"
    values = Counter(trial.intermediate_values.values())
    scores = Counter(point.metrics["eval/accuracy"] for point in record.outcome.evals)
    if not isinstance(record.outcome, Failed) and values - scores:
        yield f"trial {trial.number}: Optuna has values that are no evaluation of its record: {values - scores}"
    if isinstance(record.outcome, Completed) and trial.value != record.outcome.best.metrics["eval/accuracy"]:
        yield f"trial {trial.number}: Optuna has the score {trial.value}"


def _other_trials(ours: Store, theirs: Store) -> Iterator[str]:
    """Yield trials that differ. A trial that was killed goes on under its number."""
    found, wanted = ours.trials(), theirs.trials()
    states = [(record.number, record.state) for record in found]
    if states != [(record.number, record.state) for record in wanted]:
        yield f"the trials are {states}"
    for record, other in zip(by_place(found), by_place(wanted), strict=False):
        for name, (value, expected) in _compared(record, other).items():
            if value != expected:
                yield f"trial {record.number}, {name}: {_short(value)}, and uninterrupted {_short(expected)}"


def by_place(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Return the trials that ended by themselves, in the order in which their points were given."""
    ended = [one for one in records if not (isinstance(one.outcome, Failed) and one.outcome.reason.retried)]
    return sorted(ended, key=lambda record: record.rank)


def _compared(record: TrialRecord, other: TrialRecord) -> dict[str, tuple[Any, Any]]:
    """Return the values of two records that have to be the same: no times and no places."""
    found = {
        name: (getattr(record, name), getattr(other, name))
        for name in ("params", "total_steps", "place", "used", "state")
    }
    found["evaluations"] = record.outcome.evals, other.outcome.evals
    found["best"] = record.best, other.best
    for name in ("steps", "samples", "eval_samples", "train_loss", "engine", "device", "trained_parameters"):
        found[f"cost.{name}"] = getattr(record.outcome.cost, name), getattr(other.outcome.cost, name)
    return found


def _other_rows(ours: Store, theirs: Store) -> Iterator[str]:
    places = {record.place: record.number for record in by_place(theirs.trials())}
    for record in by_place(ours.trials()):
        if record.place in places:
            rows, wanted = ours.events(record.number), theirs.events(places[record.place])
            yield from _rows(f"trial {record.number}", rows, wanted)
    for folder in theirs.finals():
        name = folder.relative_to(theirs.root)
        yield from _rows(str(name), ours.final_events(ours.root / name), theirs.final_events(folder))
        refit = [store.final_events(refit_dir(store.root / name)) for store in (ours, theirs)]
        yield from _rows(f"{name}/refit", *refit)


def _rows(name: str, rows: Sequence[Step | EvalPoint], wanted: Sequence[Step | EvalPoint]) -> Iterator[str]:
    if list(rows) == list(wanted):
        return
    places = [(type(row).__name__, row.step) for row in rows]
    expected = [(type(row).__name__, row.step) for row in wanted]
    doubled = [place for place, count in Counter(places).items() if count > Counter(expected)[place]]
    lost = [place for place in expected if place not in places]
    other = [row for row, right in zip(rows, wanted, strict=False) if row != right][:1]
    yield f"{name}: of {len(wanted)} rows, lost {lost[:6]}, doubled {doubled[:6]}, first other one {_short(other)}"


def _other_repeats(ours: Store, theirs: Store) -> Iterator[str]:
    names = [sorted(path.name for path in store.root.glob("confirm/*.json")) for store in (ours, theirs)]
    if names[0] != names[1]:
        yield f"fresh seeds: {names[0]}, and uninterrupted {names[1]}"
    for path in sorted(theirs.root.glob("confirm/*.json")):
        number, index = map(int, path.stem.split("-"))
        found, wanted = ours.repeat(number, index), theirs.repeat(number, index)
        if found and wanted and (found.seed, found.best) != (wanted.seed, wanted.best):
            yield f"fresh seed {path.stem}: {_short(found.best)}, and uninterrupted {_short(wanted.best)}"


def _other_finals(ours: Store, theirs: Store) -> Iterator[str]:
    for folder, wanted in theirs.finals().items():
        found = ours.final(ours.root / folder.relative_to(theirs.root))
        if found is None:
            yield f"{folder.name} has no record"
            continue
        plain, expected = _without_times(found), _without_times(wanted)
        for name in FinalRecord.__slots__:
            if getattr(plain, name) != getattr(expected, name):
                yield (f"{folder.name}, {name}: {_short(getattr(plain, name))}, "
                       f"and uninterrupted {_short(getattr(expected, name))}")  # fmt: skip


def _without_times(record: FinalRecord) -> FinalRecord:
    """Return the record without times, addresses, and what names the run directory."""
    refit = record.refit and Refit(record.refit.rows, record.refit.steps, record.refit.total_steps, Cost())
    confirmation = record.confirmation and replace(record.confirmation, cost=Cost())
    return replace(
        record, cost=Cost(steps=record.cost.steps, samples=record.cost.samples), refit=refit, confirmation=confirmation,
        command="", tracker_run="", test_seconds=0.0, test_readings=1,
        config=record.config.model_copy(update={"run_dir": "", "study": None, "launcher": None}),
    )  # fmt: skip


def _readings(store: Store) -> Iterator[str]:
    """Yield final records that do not say how often the test split was read. A line is written
    ahead of each reading, so that a model which reads again after a kill counts again."""
    readings = store.test_readings()
    for folder, record in store.finals().items():
        if record.test_readings != readings:
            yield f"{folder.name} says {record.test_readings} test readings, and there were {readings}"


def _other_runs(killed: Path, whole: Path) -> Iterator[str]:
    """Yield runs on the mock server that lack a row or have one too many. A run that is gone on
    with stays one run."""
    ours, theirs = _runs(killed), _runs(whole)
    for key in sorted(theirs.keys() | ours.keys(), key=str):
        found, wanted = ours.get(key, []), theirs.get(key, [])
        name = f"W&B run {key[0]} of trial {key[1]}"
        if len(found) != len(wanted):
            yield f"{name}: there are {len(found)}, and uninterrupted {len(wanted)}"
        if any(not run.ended for run in found):
            yield f"{name}: the server does not know that it ended"
        if len(found) == len(wanted) == 1 and key[0] != "study":
            lost, doubled = _placed(wanted[0]) - _placed(found[0]), _placed(found[0]) - _placed(wanted[0])
            if lost or doubled:
                yield f"{name}: lost rows {_steps(lost)}, doubled rows {_steps(doubled)}"


def _runs(folder: Path) -> dict[tuple[str, int | None], list[ReceivedRun]]:
    found: dict[tuple[str, int | None], list[ReceivedRun]] = {}
    for run in received_runs(folder / FOLDER):
        found.setdefault((run.job_type, run.number), []).append(run)
    return found


def _placed(run: ReceivedRun) -> Counter[tuple[int, tuple[tuple[str, Any], ...]]]:
    """Return the rows of a run by step, with the values that are no times."""
    shown = ("train/", "eval/", "test/")
    return Counter(
        (row.get("train/global_step", 0), tuple(sorted((name, value) for name, value in row.items() if name.startswith(shown))))
        for row in run.rows
    )  # fmt: skip


def _steps(rows: Counter[tuple[int, Any]]) -> list[int]:
    return sorted(step for step, _ in rows.elements())[:12]


def _missing_files(killed: Path, whole: Path) -> Iterator[str]:
    for name in ("report.md", "report.html", "final/predictions.csv", "final/model/sweep_model.json"):
        if (whole / name).is_file() and not (killed / name).is_file():
            yield f"{name} is missing"
    ours, theirs = (sorted(folder.glob("final/model/*.safetensors")) for folder in (killed, whole))
    if [one.read_bytes() for one in ours] != [one.read_bytes() for one in theirs]:
        yield "the weights of the winner are others"


def _short(value: Any) -> str:
    with suppress(TypeError):
        if isinstance(value, tuple | list) and len(value) > 2:
            return f"{len(value)} of them, {str(value[0])[:90]} … {str(value[-1])[:90]}"
    return str(value)[:220]
