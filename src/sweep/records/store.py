"""The run directory: everything of a study that Optuna does not hold, in plain files.

lock.json                what repeats the run
study.db                 Optuna's storage, unless `study.storage` names another
trials/0003/events.jsonl training and evaluation rows, appended while the trial runs: a killed process loses none
trials/0003/tracker_run  the address of its run, from its start on
trials/0003/running      there while the trial is trained: one that is left tells that its process was killed
trials/0003/record.json  written once, when the trial has ended
trials/0003/best/        the adapter at its best evaluation, of the study's best trial only (in a group run each method's)
trials/0003/newest/      and at its newest, with `trainer.save_newest`
confirm/0003-1.json      trial 3 trained again with its first fresh seed (`study.confirm_seeds`)
final/                   the winner: record.json, events.jsonl, model/, predictions.csv, confusion.csv
retrained/0003/          trial 3 retrained, for the refit that goes by it (`study.refit`); the refit's rows are in final/refit/
methods/ia3/             the same of each other method's best, in a group run (`study.compare_by`)
test_readings.jsonl      each reading of the test split: one, unless more trials or a refit brought another model
report.md, figures/      built from the files above alone
.scratch/                temporary folders of the process that holds the run directory
.published               what the study's own run on the dashboard told of
.open_runs/              a file for each run that the tracker has sent no end of yet
.id                      by which a storage that several run directories use knows this one

Files are written whole or not at all. What a killed process or a failing disk left otherwise, `sweep.records.recovery` mends.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from filelock import FileLock, Timeout
from pydantic import TypeAdapter, ValidationError

from sweep.config.folders import cache_dir
from sweep.config.schema import Config, Scalar
from sweep.errors import UserError, naming
from sweep.provenance import DataState, GitState, ModelState, now
from sweep.records.disk import append_line, write_whole
from sweep.records.final import FinalRecord, Repeat, RetrainRecord
from sweep.records.trial import EvalPoint, Step, TrialRecord


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

_DISK_FAILED = "disk_failed"  # the name that a trial's `running` gets

_LOCK = TypeAdapter(Lock)
_TRIAL = TypeAdapter(TrialRecord)
_FINAL = TypeAdapter(FinalRecord)
_REPEAT = TypeAdapter(Repeat)
_RETRAIN = TypeAdapter(RetrainRecord)
_STEP = TypeAdapter(Step)
_EVAL = TypeAdapter(EvalPoint)
_EVENT: TypeAdapter[Step | EvalPoint] = TypeAdapter(Step | EvalPoint)

# Every file that one object is read from, and a key that each version of it has.
RECORDS: Mapping[str, str] = {
    "lock.json": "experiment", "trials/*/record.json": "number", "confirm/*.json": "number",
    "retrained/*/record.json": "number", "final/record.json": "number", "methods/*/record.json": "number",
}  # fmt: skip


class Left(StrEnum):
    """What is known of a trial that has no record, though its process has ended."""

    KILLED = "killed"  # while it was trained
    DISK_FAILED = "disk failed"
    NOT_BEGUN = "not begun"


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
            raise self._unwritable(error) from None
        try:
            yield
        finally:
            lock.release()

    @property
    def scratch(self) -> Path:
        """Where temporary folders go: the next holder of the run directory clears what a killed process left there."""
        return self.root / ".scratch"

    def identity(self) -> str:
        """A name that no other run directory has, and that stays where this one is moved."""
        if not self.known_identity():
            write_whole(self._identity_path, uuid.uuid4().hex + "\n")
        return self.known_identity()

    def known_identity(self) -> str:
        """Empty where the run directory has none yet."""
        path = self._identity_path
        return path.read_text(errors="replace").strip() if path.exists() else ""

    @property
    def _identity_path(self) -> Path:
        return self.root / ".id"

    def published(self) -> str:
        """The fingerprint of what the study's own run on the dashboard told of; empty before the first one."""
        path = self.root / ".published"
        return path.read_text(errors="replace").strip() if path.exists() else ""

    def note_published(self, state: str) -> None:
        write_whole(self.root / ".published", state + "\n")

    def check_place(self) -> None:
        """Raises UserError where the run directory could not be made or written to. Leaves nothing behind."""
        root = self.root.absolute()
        there = next(path for path in (root, *root.parents) if path.exists())
        try:
            with tempfile.TemporaryFile(dir=there):
                pass
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> UserError:
        return UserError.of("run_dir", f"is {self.root}, but cannot be written to: {error.strerror or error}")

    def lock(self) -> Lock | None:
        return _read(_LOCK, self.root / "lock.json")

    def write_lock(self, lock: Lock) -> None:
        _write(_LOCK, lock, self.root / "lock.json")

    def trial_dir(self, number: int) -> Path:
        return self.root / "trials" / f"{number:04d}"

    def append_event(self, number: int, event: Step | EvalPoint) -> None:
        """Add a row to the trial's events; it is on disk, or with the operating system, when this returns."""
        _append(event, self.trial_dir(number))

    def events(self, number: int) -> list[Step | EvalPoint]:
        """The trial's rows in order. A last line cut off by a crash is left out."""
        return _events(self.trial_dir(number))

    def note_run(self, number: int, address: str) -> None:
        """Where the tracker shows the trial, should its process die."""
        write_whole(self._run_path(number), address)

    def run_address(self, number: int) -> str:
        path = self._run_path(number)
        return path.read_text(errors="replace") if path.exists() else ""

    def begin_trial(self, number: int) -> None:
        """From here on a process that ends without a word was killed while it trained this trial."""
        write_whole(self._running_path(number), now())

    def stop_for_disk(self, number: int) -> None:
        """Keep in mind that the disk failed. A full one has no room for a record, but lets a file be renamed; of one that
        became read-only the user's cache keeps it in mind, if that is on another disk."""
        with suppress(OSError):
            try:
                self._running_path(number).replace(self.trial_dir(number) / _DISK_FAILED)
            except OSError:
                write_whole(self._noted_elsewhere(number), now())

    def left(self, number: int) -> Left:
        if any(path.exists() for path in (self.trial_dir(number) / _DISK_FAILED, self._noted_elsewhere(number))):
            return Left.DISK_FAILED
        return Left.KILLED if self._running_path(number).exists() else Left.NOT_BEGUN

    def _noted_elsewhere(self, number: int) -> Path:
        return cache_dir() / "disk_failed" / f"{self.known_identity()}-{number:04d}"

    def _running_path(self, number: int) -> Path:
        return self.trial_dir(number) / "running"

    def _run_path(self, number: int) -> Path:
        return self.trial_dir(number) / "tracker_run"

    def final_events(self, folder: Path | None = None) -> list[Step | EvalPoint]:
        """The rows of the winner's retraining, or of that in another folder."""
        return _events(folder or self.final_dir)

    def write_trial(self, record: TrialRecord) -> None:
        folder = self.trial_dir(record.number)
        _write(_TRIAL, record, folder / "record.json")
        marks = (self._running_path(record.number), folder / _DISK_FAILED, self._noted_elsewhere(record.number))
        for mark in marks:
            with suppress(OSError):  # the record is there, and comes before any mark
                mark.unlink(missing_ok=True)

    def trials(self) -> list[TrialRecord]:
        """Every trial that has ended, by number."""
        found = (_read(_TRIAL, path) for path in sorted(self.root.glob("trials/*/record.json")))
        return [record for record in found if record is not None]

    def drop_best(self, number: int) -> None:
        """Let go of the adapters of a trial that is not the study's best."""
        for folder in (*self.trial_dir(number).glob("best*"), *self.trial_dir(number).glob("newest*")):
            shutil.rmtree(folder, ignore_errors=True)

    def note_test_reading(self, number: int, chosen: Sequence[int]) -> int:
        """Write down, before it happens, that trial `number`'s model reads the test split; how often it now was read.

        The models of all trials that were `chosen` together share one reading. It counts anew for another choice, and
        where one of them reads again because its record was lost.
        """
        note = {"trial": number, "chosen": sorted(chosen), "at": now()}
        append_line(self._readings_path, json.dumps(note))
        return self.test_readings()

    def test_readings(self) -> int:
        """A last line without its break is left out: the reading comes after its line is on the disk. A line that is
        damaged otherwise counts as a reading."""
        path = self._readings_path
        return _readings(map(_noted, path.read_bytes().split(b"\n")[:-1])) if path.exists() else 0

    @property
    def _readings_path(self) -> Path:
        return self.root / "test_readings.jsonl"

    def repeat_path(self, number: int, index: int) -> Path:
        return self.root / "confirm" / f"{number:04d}-{index}.json"

    def repeat(self, number: int, index: int) -> Repeat | None:
        """The `index`-th training of trial `number` with a fresh seed, if it has ended."""
        return _read(_REPEAT, self.repeat_path(number, index))

    def write_repeat(self, repeat: Repeat, index: int) -> None:
        _write(_REPEAT, repeat, self.repeat_path(repeat.number, index))

    def retrain_dir(self, number: int) -> Path:
        return self.root / "retrained" / f"{number:04d}"

    def retraining(self, number: int) -> RetrainRecord | None:
        return _read(_RETRAIN, self.retrain_dir(number) / "record.json")

    def write_retraining(self, record: RetrainRecord, events: Sequence[Step | EvalPoint]) -> None:
        """Replaces an earlier one. The record comes last: without it the rows count for nothing."""
        folder = self.retrain_dir(record.number)
        shutil.rmtree(folder, ignore_errors=True)
        for event in events:
            _append(event, folder)
        _write(_RETRAIN, record, folder / "record.json")

    def method_dir(self, method: Scalar) -> Path:
        """Where a group run keeps the retrained best of a method that did not win."""
        name = quote(str(method), safe=" ")
        # Dots alone would name this folder or the one above, and with these ends a folder that is about to be replaced.
        if name.endswith((".new", ".old")):
            name = f"{name[:-4]}%2E{name[-3:]}"
        return self.root / "methods" / (name if name.strip(".") else f"value{len(name)}")

    @property
    def final_dir(self) -> Path:
        return self.root / "final"

    def write_final(
        self,
        record: FinalRecord,
        events: Sequence[Step | EvalPoint] = (),
        folder: Path | None = None,
        refit: Sequence[Step | EvalPoint] = (),
    ) -> None:
        """Write the record and the rows of the retraining and of the refit: to `final_dir`, or to another folder."""
        target = folder or self.final_dir
        for event in events:
            _append(event, target)
        for event in refit:
            _append(event, refit_dir(target))
        _write(_FINAL, record, target / "record.json")

    def final(self, folder: Path | None = None) -> FinalRecord | None:
        return _read(_FINAL, (folder or self.final_dir) / "record.json")

    def finals(self) -> dict[Path, FinalRecord]:
        """The winner's record by its folder, and, in a group run, those of the other methods in `methods/`."""
        folders = (self.final_dir, *sorted(path.parent for path in self.root.glob("methods/*/record.json")))
        found = {folder: _read(_FINAL, folder / "record.json") for folder in folders}
        return {folder: record for folder, record in found.items() if record is not None}


def refit_dir(final: Path) -> Path:
    """Where the rows of a refit are, in the folder of its final record: `final_events` reads them there."""
    return final / "refit"


def _noted(line: bytes) -> Mapping[str, Any]:
    """Empty for a line that cannot be read."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) and {"trial", "chosen"} <= found.keys() else {}


def _readings(noted: Iterable[Mapping[str, Any]]) -> int:
    count, choice, read = 0, None, set[Any]()
    for one in noted:
        if not one or one["chosen"] != choice or one["trial"] in read:
            count, choice, read = count + 1, one.get("chosen"), set()
        read.add(one.get("trial"))
    return count


def _append(event: Step | EvalPoint, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    kind = "train" if isinstance(event, Step) else "eval"
    row = {"type": kind, **_EVENT.dump_python(event, mode="json", exclude={"seconds"})}
    path = folder / "events.jsonl"
    with naming(path), path.open("a") as file:
        file.write(json.dumps(row) + "\n")


def _events(folder: Path) -> list[Step | EvalPoint]:
    path = folder / "events.jsonl"
    lines = path.read_bytes().split(b"\n") if path.exists() else []
    return [event for line in lines if (event := _event(line)) is not None]


def _event(line: bytes) -> Step | EvalPoint | None:
    """None for a line that was cut off or damaged."""
    try:
        row = json.loads(line)
        adapter: TypeAdapter[Step] | TypeAdapter[EvalPoint] = _STEP if row.pop("type") == "train" else _EVAL
        return adapter.validate_python(row)
    except (ValueError, AttributeError, KeyError, TypeError):
        return None


def _write(adapter: TypeAdapter[T], value: T, path: Path) -> None:
    write_whole(path, json.dumps(adapter.dump_python(value, mode="json"), indent=2) + "\n")


def _read(adapter: TypeAdapter[T], path: Path) -> T | None:
    """Raises UserError for a file that was damaged, or written by another version."""
    try:
        return adapter.validate_json(path.read_bytes()) if path.exists() else None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "its start"
        rule = f"cannot be read: {first['msg']} at {where}. It was damaged, or another version wrote it"
        raise UserError.of(str(path), f"{rule}; put it back from a copy, or name a new run_dir") from None
