"""The real client against a backend of our own, which at the end is asked what it received."""

from __future__ import annotations

import math
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from sweep.config.schema import Config
from sweep.errors import UserError
from sweep.records.store import Store, refit_dir
from sweep.records.trial import EvalPoint, Step, TrialPlan, TrialRecord
from sweep.track.credentials import Account
from sweep.track.mock.backend import Backend
from sweep.track.mock.records import Run as Received
from sweep.track.mock.server import MockServer
from sweep.track.patience import NeverStopped, Patience, Stop
from sweep.track.tracker import CutRun, Ending, JobType, Receipt, Run, Say
from sweep.track.wandb_run import STEP, WandbRun
from sweep.track.wandb_tracker import WandbTracker

FOLDER = "wandb-mock"

_NAMED_ROWS = 5

Event = Step | EvalPoint


class MockTracker:
    """A study taken up again goes on with the backend that the first part filled."""

    def __init__(self, config: Config, run_dir: Path, *, say: Say, stop: Stop | None = None) -> None:
        self._folder = run_dir / FOLDER
        self._study = config.study.study_name
        try:
            self.server = MockServer(self._folder, port=config.tracker.port)
        except OSError as error:
            rule = f"is {config.tracker.port}, but the mock backend cannot listen there: {error.strerror or error}"
            raise UserError.of("tracker.port", rule) from None
        account = Account(self.server.url, self.server.api_key, "the mock backend")
        patience = Patience.endless(stop or NeverStopped())
        self._wandb = WandbTracker(config, run_dir, account=account, say=say, patience=patience, send_every=1)
        self._opened: set[tuple[JobType, int]] = set()
        say(f"mock W&B backend: {self.server.url}")

    def open(self, trial: TrialPlan, job_type: JobType = JobType.TRIAL) -> Run:
        self._opened.add((job_type, trial.number))
        return self._wandb.open(trial, job_type)

    def left_open(self, address: str) -> bool:
        return self._wandb.left_open(address)

    def complete(self, cut: CutRun) -> bool:
        completed = self._wandb.complete(cut)
        if completed:
            self._opened.add((cut.job_type, cut.number))
        return completed

    def open_study(self, config: Config) -> Run:
        return self._wandb.open_study(config)

    def open_comparison(self, name: str, compared: Mapping[str, Config]) -> Run:
        return self._wandb.open_comparison(name, compared)

    def close(self, store: Store) -> Receipt:
        told = self._wandb.close(store)
        backend = self.server.backend
        missing = (
            *missing_runs(backend, self._wandb.runs),
            *missing_records(backend, store, self._study, self._opened),
        )
        self.server.close()
        # What the client says of runs that arrived, the backend says better.
        troubles = told.lines if any(not run.arrived for run in self._wandb.runs) else ()
        return Receipt((f"mock W&B backend: {received(backend)}", self._page(), *troubles), missing)

    def _page(self) -> str:
        return f"  page kept: python -m sweep.track.mock {shlex.quote(str(self._folder))}"


def received(backend: Backend) -> str:
    runs = list(backend.runs.values())
    kinds = Counter(run.job_type for run in runs)
    rows = sum(len(run.history) for run in runs)
    unknown = sum(backend.unknown_operations.values())
    trials = _count(kinds[JobType.TRIAL], "trial run")
    always = (JobType.FINAL, JobType.STUDY)
    others = ", ".join(f"{kinds[kind]} {kind}" for kind in JobType if kind in always or kinds[kind] and kind != "trial")
    return f"{trials}, {others}, {_count(rows, 'row')}, {_count(unknown, 'unknown operation')}"


def missing_runs(backend: Backend, opened: Sequence[WandbRun]) -> Iterator[str]:
    """Runs of this session that the backend does not know, or does not know to have ended."""
    ended = {run.id: run.ended for run in backend.runs.values()}
    for run in opened:
        if not ended.get(run.id):
            yield f"{run.name}: {'its end' if run.id in ended else 'the run'}"


def missing_records(backend: Backend, store: Store, study: str, opened: Set[tuple[JobType, int]]) -> Iterator[str]:
    """What the run directory holds of the runs `opened`, and the backend does not: runs, rows, and how they ended.

    Other runs of the study may have gone to another tracker.
    """
    runs: dict[tuple[str, Any], list[Received]] = defaultdict(list)
    for run in backend.runs.values():
        if run.group == study:
            runs[run.job_type, run.config.get("trial", {}).get("number")].append(run)
    for record in (record for record in store.trials() if (JobType.TRIAL, record.number) in opened):
        yield from _missing_of_trial(record, store.events(record.number), runs[JobType.TRIAL, record.number])
    for folder, final in store.finals().items():
        trained = {JobType.FINAL: folder, **({JobType.REFIT: refit_dir(folder)} if final.refit else {})}
        tested = JobType.REFIT if final.refit else JobType.FINAL
        for kind, place in trained.items():
            if (kind, final.number) in opened:
                name, mine = str(place.relative_to(folder.parent)), runs[kind, final.number]
                yield from _missing_rows(name, store.final_events(place), mine)
                if not mine or (kind is tested and not any(_same(run.summary, final.test) for run in mine)):
                    yield f"{name}: {'its test scores' if mine else 'the run'}"


def _missing_of_trial(record: TrialRecord, events: Sequence[Event], runs: Sequence[Received]) -> Iterator[str]:
    name = f"trial {record.number}"
    if not runs:
        yield f"{name}: the run"
        return
    yield from _missing_rows(name, events, runs)
    failed = Ending(record.state).code != 0
    if not any(run.summary.get("state") == record.state and bool(run.exit_code) == failed for run in runs):
        yield f"{name}: that it ended as {record.state}"


def _missing_rows(name: str, events: Sequence[Event], runs: Sequence[Received]) -> Iterator[str]:
    logged = [event for event in events if event.metrics]
    if absent := absent_rows(logged, [row for run in runs for row in run.history]):
        named = ", ".join(f"step {event.step} ({', '.join(event.metrics)})" for event in absent[:_NAMED_ROWS])
        more = f" and {len(absent) - _NAMED_ROWS} more" if len(absent) > _NAMED_ROWS else ""
        yield f"{name}: {len(absent)} of {_count(len(logged), 'row')}: {named}{more}"


def absent_rows(events: Sequence[Event], rows: Sequence[Mapping[str, Any]]) -> list[Event]:
    """Events without a row of their own: one with their step and all their values."""
    left: dict[Any, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        left[row.get(STEP)].append(row)
    absent = []
    for event in events:
        candidates = left[event.step]
        match = next((row for row in candidates if _same(row, event.metrics)), None)
        if match is None:
            absent.append(event)
        else:
            candidates.remove(match)
    return absent


def _same(row: Mapping[str, Any], metrics: Mapping[str, float]) -> bool:
    return all(_number(row.get(name)) == _number(value) for name, value in metrics.items())


def _number(value: Any) -> Any:
    """JSON knows no infinity: the client sends a name for what is not finite. NaN has to equal itself here."""
    number = float(value) if isinstance(value, int | float | str) else value
    return "NaN" if isinstance(number, float) and math.isnan(number) else number


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
