"""The comparison of what a mock W&B server received with what the run directory recorded.

A run with `tracker=mock` makes this comparison at its end. `python -m sweep.track.arrivals
RUN_DIR` makes it again, for all trials whose records name a server on this machine. It ends with
code 1 where something is missing.
"""

from __future__ import annotations

import argparse
import math
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.errors import UserError, reported
from sweep.records.events import read_rows
from sweep.records.store import Store, refit_dir
from sweep.records.trial import EvalPoint, Step, TrialRecord
from sweep.track.addresses import WANDB, own_address
from sweep.track.mock_received import ReceivedRun, Row, received_runs, unknown_operations
from sweep.track.mock_settings import FOLDER
from sweep.track.tracker import SECONDS, STEP, Ending, JobType

_NAMED_ROWS = 5
_LOCAL = "http://127.0.0.1:"

Event = Step | EvalPoint
Trained = tuple[JobType, int]


@dataclass(frozen=True, slots=True)
class Expected:
    """The runs that should have arrived: `runs` maps ids to names; `trained` has the job type and
    the trial's number of each training whose rows and ending the run directory holds. `study` says
    whether the study's own run is among them."""

    runs: Mapping[str, str]
    trained: frozenset[Trained]
    study: bool = False


@dataclass(frozen=True, slots=True)
class Arrivals:
    """`lines` tell the user what arrived; `missing` names each run, row and ending that did
    not."""

    lines: tuple[str, ...]
    missing: tuple[str, ...]


def compare(store: Store, study: str, expected: Expected) -> Arrivals:
    """Return how the server's folder in the run directory differs from the records of the study
    named `study`."""
    folder = store.root / FOLDER
    runs = received_runs(folder)
    counts = f"mock W&B server: {_counted(runs)}, {_count(unknown_operations(folder), 'unknown operation')}"
    page = f"  page kept: python -m wandb_mock {shlex.quote(str(folder))}"
    missing = (*_missing_runs(runs, expected.runs), *_missing_records(runs, store, study, expected.trained))
    if expected.study:
        missing = (*missing, *_missing_of_study(store, [run for run in runs if run.group == study]))
    return Arrivals((counts, page), missing)


def expected_by(store: Store) -> Expected:
    """Return what the records say was sent to a server on this machine, in whichever process."""
    trained = {(JobType.TRIAL, trial.number): trial.tracker_run for trial in store.trials()}
    for final in store.finals().values():
        trained[JobType.FINAL, final.number] = final.tracker_run
        if final.refit:
            trained[JobType.REFIT, final.number] = final.refit.tracker_run
    local = frozenset(one for one, address in trained.items() if _is_local(address))
    return Expected({}, local, study=_is_local(store.study_address()))


def _is_local(address: str) -> bool:
    return own_address(address, WANDB).startswith(_LOCAL)


def _counted(runs: Sequence[ReceivedRun]) -> str:
    kinds = Counter(run.job_type for run in runs)
    trials = _count(kinds[JobType.TRIAL], "trial run")
    always = (JobType.FINAL, JobType.STUDY)
    rows = sum(len(run.rows) for run in runs if run.job_type != JobType.STUDY)  # those come by time
    others = ", ".join(f"{kinds[kind]} {kind}" for kind in JobType if kind in always or kinds[kind] and kind != "trial")
    return f"{trials}, {others}, {_count(rows, 'row')}"


def _missing_runs(runs: Sequence[ReceivedRun], expected: Mapping[str, str]) -> Iterator[str]:
    """Yield the runs that the server does not know, or does not know to have ended."""
    ended = {run.id: run.ended for run in runs}
    for run_id, name in expected.items():
        if not ended.get(run_id):
            yield f"{name}: {'its end' if run_id in ended else 'the run'}"


def _missing_records(
    runs: Sequence[ReceivedRun], store: Store, study: str, trained: frozenset[Trained]
) -> Iterator[str]:
    """Yield rows, endings and test scores that the run directory holds and the server lacks."""
    found: dict[tuple[str, int | None], list[ReceivedRun]] = defaultdict(list)
    for run in runs:
        if run.group == study:
            found[run.job_type, run.number].append(run)
    for record in (record for record in store.trials() if (JobType.TRIAL, record.number) in trained):
        yield from _missing_of_trial(record, store.events(record.number), found[JobType.TRIAL, record.number])
    for folder, final in store.finals().items():
        places = {JobType.FINAL: folder, **({JobType.REFIT: refit_dir(folder)} if final.refit else {})}
        tested = JobType.REFIT if final.refit else JobType.FINAL
        for kind, place in places.items():
            if (kind, final.number) in trained:
                scores = final.test if kind is tested else {}
                name = str(place.relative_to(folder.parent))
                yield from _missing_of_final(name, store.final_events(place), scores, found[kind, final.number])


def _missing_of_trial(record: TrialRecord, events: Sequence[Event], runs: Sequence[ReceivedRun]) -> Iterator[str]:
    name = f"trial {record.number}"
    if not runs:
        yield f"{name}: the run"
        return
    yield from _missing_rows(name, events, runs)
    failed = Ending(record.state).code != 0
    if not any(run.summary.get("state") == record.state and bool(run.exit_code) == failed for run in runs):
        yield f"{name}: that it ended as {record.state}"


def _missing_of_final(
    name: str, events: Sequence[Event], scores: Mapping[str, float], runs: Sequence[ReceivedRun]
) -> Iterator[str]:
    yield from _missing_rows(name, events, runs)
    if not any(_same(run.summary, scores) for run in runs):
        yield f"{name}: {'its test scores' if runs else 'the run'}"


def _missing_of_study(store: Store, runs: Sequence[ReceivedRun]) -> Iterator[str]:
    """Yield what the study's own run lacks: rows, and the tables and charts of its end."""
    own, events = [run for run in runs if run.job_type == JobType.STUDY], read_rows(store.study_dir)
    yield from _missing_rows("study", events, own, axis=SECONDS)
    if any(not event.metrics for event in events) and not any("trials" in run.summary for run in own):
        yield "study: the tables of its end"


def _missing_rows(
    name: str, events: Sequence[Event], runs: Sequence[ReceivedRun], *, axis: str = STEP
) -> Iterator[str]:
    logged = [event for event in events if event.metrics]
    if absent := absent_rows(logged, [row for run in runs for row in run.rows], axis=axis):
        named = ", ".join(f"step {event.step} ({', '.join(event.metrics)})" for event in absent[:_NAMED_ROWS])
        more = f" and {len(absent) - _NAMED_ROWS} more" if len(absent) > _NAMED_ROWS else ""
        yield f"{name}: {len(absent)} of {_count(len(logged), 'row')}: {named}{more}"


def absent_rows(events: Sequence[Event], rows: Sequence[Row], *, axis: str = STEP) -> list[Event]:
    """Return the events that have no row of their own: a row with their step, in the column
    `axis`, and all their values."""
    left: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        left[row.get(axis)].append(row)
    absent = []
    for event in events:
        candidates = left[event.step]
        match = next((row for row in candidates if _same(row, event.metrics)), None)
        if match is None:
            absent.append(event)
        else:
            candidates.remove(match)
    return absent


def _same(row: Row, metrics: Mapping[str, float]) -> bool:
    return all(_number(row.get(name)) == _number(value) for name, value in metrics.items())


def _number(value: Any) -> Any:
    """Return a value that compares as equal. JSON has no infinity, which the client sends by
    name; NaN must equal itself."""
    number = float(value) if isinstance(value, int | float | str) else value
    return "NaN" if isinstance(number, float) and math.isnan(number) else number


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m sweep.track.arrivals",
        description="Compare what the mock W&B server of a run received with what the run directory recorded.",
    )
    parser.add_argument("run_dir", type=Path, metavar="RUN_DIR", help="a run directory of tracker=mock")
    store = Store(parser.parse_args(argv).run_dir)
    with reported():
        lock = store.lock()
        if lock is None or not (store.root / FOLDER).is_dir():
            raise UserError.of("RUN_DIR", f"is {store.root}, but that is no run directory of tracker=mock")
        found = compare(store, lock.config.study.study_name, expected_by(store))
    print("\n".join((*found.lines, *(f"missing: {name}" for name in found.missing))))
    if found.missing:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
