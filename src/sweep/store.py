"""The run directory: everything of a study that Optuna does not hold, in plain files.

lock.json                what repeats the run
study.db                 Optuna's storage, unless `study.storage` names another
trials/0003/events.jsonl training and evaluation rows, appended while the trial runs: a killed process loses none
trials/0003/record.json  written once, when the trial has ended
trials/0003/best/        the adapter at its best evaluation, of the study's best trial only
final/                   the winner: record.json, model/, predictions.csv, confusion.csv
report.md, figures/      built from the files above alone
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout
from pydantic import TypeAdapter

from sweep.config.schema import Config
from sweep.errors import UserError
from sweep.provenance import DataState, GitState, ModelState
from sweep.records import EvalPoint, FinalRecord, Step, TrialRecord


@dataclass(frozen=True, slots=True)
class Lock:
    """`experiment` is the fingerprint of all that a resumed run must share with the first one."""

    experiment: str
    config: Config
    space: Mapping[str, Any]
    command: str
    seeds: Mapping[str, int]
    versions: Mapping[str, str]
    machine: Mapping[str, str]
    git: GitState
    data: DataState
    model: ModelState
    created: str


T = TypeVar("T")

_LOCK = TypeAdapter(Lock)
_TRIAL = TypeAdapter(TrialRecord)
_FINAL = TypeAdapter(FinalRecord)
_STEP = TypeAdapter(Step)
_EVAL = TypeAdapter(EvalPoint)
_EVENT: TypeAdapter[Step | EvalPoint] = TypeAdapter(Step | EvalPoint)


@dataclass(frozen=True, slots=True)
class Store:
    root: Path

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep a second process out of the run directory; the operating system frees it if this one is killed.

        Raises UserError where another process holds it, or where it cannot be made or written to.
        """
        lock = FileLock(self.root / ".held", timeout=0)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout:
            rule = f"{self.root} is in use by another sweep process; wait for it, or name another run_dir"
            raise UserError.of("run_dir", rule) from None
        except OSError as error:
            raise UserError.of("run_dir", f"is {self.root}, but cannot be written to: {error.strerror or error}") from None
        try:
            yield
        finally:
            lock.release()

    def lock(self) -> Lock | None:
        return _read(_LOCK, self.root / "lock.json")

    def write_lock(self, lock: Lock) -> None:
        _write(_LOCK, lock, self.root / "lock.json")

    def trial_dir(self, number: int) -> Path:
        return self.root / "trials" / f"{number:04d}"

    def append_event(self, number: int, event: Step | EvalPoint) -> None:
        """Add a row to the trial's events; it is on disk, or with the operating system, when this returns."""
        folder = self.trial_dir(number)
        folder.mkdir(parents=True, exist_ok=True)
        kind = "train" if isinstance(event, Step) else "eval"
        row = {"type": kind, **_EVENT.dump_python(event, mode="json")}
        with (folder / "events.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")

    def events(self, number: int) -> list[Step | EvalPoint]:
        """The trial's rows in order. A last line cut off by a crash is left out."""
        path = self.trial_dir(number) / "events.jsonl"
        rows: list[Step | EvalPoint] = []
        for line in path.read_text().splitlines() if path.exists() else []:
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue
            adapter: TypeAdapter[Step] | TypeAdapter[EvalPoint] = _STEP if row.pop("type") == "train" else _EVAL
            rows.append(adapter.validate_python(row))
        return rows

    def write_trial(self, record: TrialRecord) -> None:
        _write(_TRIAL, record, self.trial_dir(record.number) / "record.json")

    def trials(self) -> list[TrialRecord]:
        """Every trial that has ended, by number."""
        found = (_read(_TRIAL, path) for path in sorted(self.root.glob("trials/*/record.json")))
        return [record for record in found if record is not None]

    def drop_best(self, number: int) -> None:
        shutil.rmtree(self.trial_dir(number) / "best", ignore_errors=True)

    @property
    def final_dir(self) -> Path:
        return self.root / "final"

    def write_final(self, record: FinalRecord) -> None:
        _write(_FINAL, record, self.final_dir / "record.json")

    def final(self) -> FinalRecord | None:
        return _read(_FINAL, self.final_dir / "record.json")


def _write(adapter: TypeAdapter[T], value: T, path: Path) -> None:
    """Replace `path` in one step: a reader, or a crash, never meets half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".tmp")
    scratch.write_text(json.dumps(adapter.dump_python(value, mode="json"), indent=2) + "\n")
    scratch.replace(path)


def _read(adapter: TypeAdapter[T], path: Path) -> T | None:
    return adapter.validate_json(path.read_bytes()) if path.exists() else None
