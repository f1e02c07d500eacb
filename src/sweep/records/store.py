"""The run directory: everything of a study that Optuna does not hold, in plain files.

lock.json                the values that repeat the run
study.db                 Optuna's storage, unless `study.storage` names another
trials/0003/events.jsonl training and evaluation rows, appended as they come: a kill loses none
trials/0003/tracker_run  the address of its run, from its start on
trials/0003/running      exists while the trial is trained; found later, it shows a kill
study/                   rows and address of the study's own run, as those of a trial
snapshots/trial-0003.safetensors
                         where a training goes on after a stop (`sweep.records.snapshots`)
trials/0003/paused.json  while the trial is paused: the record that it gets unless it is promoted
trials/0003/record.json  written once, when the trial has ended
trials/0003/out_of_fold.npy
                         with `dataset.folds`: the scores of each row by the fold that did not see
                         it, at the trial's best evaluation
trials/0003/best/        the adapter at its best evaluation, of the study's best trial alone,
                         or of the best trial of each value that `study.compare_by` compares
trials/0003/newest/      the adapter at the newest evaluation, with `trainer.save_newest`
confirm/0003-1.json      trial 3 trained again with its first fresh seed (`study.confirm_seeds`)
final/                   the winner: record.json, events.jsonl, model/, predictions.csv,
                         confusion.csv, with folds out_of_fold.csv
unfinished/refit-0003/   rows and run of a confirmation, retraining or refit that has not ended
retrained/0003/          trial 3 retrained before its refit (`study.refit`), whose rows are in
                         final/refit/
methods/ia3/             as final/, for the best trial of another value of `study.compare_by`
test_readings.jsonl      each reading of the test split: one, unless more trials or a refit
                         led to another model
warm_start.json          what was taken over from other studies (`study.warm_start`)
report.md, report.html, figures/
                         built from the files above alone
budget.json              what the search has used up (`study.budget`)
.scratch/                temporary folders of the process that holds the run directory
memory.json              memory of the trials' device and of trainings (`sweep.records.memory`)
.published               the fingerprint of what the study's own run on the dashboard shows
.dashboard.json          the ids of its sweep, view and report on W&B, by server and project
.open_runs/              a file for each run whose end the tracker has not sent yet
.id                      a random id, by which a storage knows this run directory

Each record file holds the version of its keys (`sweep.records.migrations`); `events.jsonl` and
`test_readings.jsonl` do not. A file is replaced as a whole. `sweep.records.recovery` repairs what
a killed process or a failing disk left incomplete.
"""

from __future__ import annotations

import errno
import fcntl
import json
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from filelock import FileLock, Timeout
from pydantic import TypeAdapter

from sweep.config.folders import cache_dir
from sweep.config.schema import Scalar
from sweep.errors import Fault, UserError, to_mend
from sweep.provenance import Fingerprint, now
from sweep.records.disk import append_line, write_whole
from sweep.records.events import append_row, read_rows
from sweep.records.final import FinalRecord, Repeat, RetrainRecord
from sweep.records.lock import Lock
from sweep.records.marks import Marks
from sweep.records.readings import count_readings, noted_reading
from sweep.records.record_file import read_record, write_record
from sweep.records.run_address import note_address, noted_address
from sweep.records.trial import Completed, EvalPoint, Step, TrialRecord

_LOOKED_AT = 0.1  # seconds: longer than `in_use` takes
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP)  # as of NFS without its lock server
_LONGEST = 200  # characters of a folder's name: file systems take 255, and a replacement adds an ending
_LOCK = TypeAdapter(Lock)
_TRIAL = TypeAdapter(TrialRecord)
_FINAL = TypeAdapter(FinalRecord)
_REPEAT = TypeAdapter(Repeat)
_RETRAIN = TypeAdapter(RetrainRecord)

# The record files by pattern, and a key that each has in every version.
RECORDS: Mapping[str, str] = {
    "lock.json": "experiment", "trials/*/record.json": "number", "confirm/*.json": "number",
    "retrained/*/record.json": "number", "final/record.json": "number", "methods/*/record.json": "number",
    "trials/*/paused.json": "number",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Store:
    """The files of one run directory.

    Methods that return a record return None where its file does not exist.
    """

    root: Path

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep a second process out of the run directory; the operating system frees it if this
        one is killed.

        Raises UserError where another process holds it, or where it cannot be made or written to.
        """
        lock = FileLock(self.root / ".held", timeout=_LOOKED_AT)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout:
            rule = f"{self.root} is in use by another sweep process; wait for it, or name another run_dir"
            raise UserError.of("run_dir", rule) from None
        except OSError as error:
            raise UserError([self._unwritable(error)]) from None
        try:
            yield
        finally:
            lock.release()

    def in_use(self) -> bool:
        """Return whether a process holds the run directory (`held`), this one included."""
        try:
            with (self.root / ".held").open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # there is no such file, or its file system knows no locks
            return False
        return False

    @property
    def scratch(self) -> Path:
        """Return the folder for temporary folders.

        The next process that holds the run directory deletes its contents.
        """
        return self.root / ".scratch"

    def identity(self) -> str:
        """Return the id of the run directory, and write one where it has none.

        The id stays when the directory is moved.
        """
        if not self.known_identity():
            write_whole(self._identity_path, uuid.uuid4().hex + "\n")
        return self.known_identity()

    def known_identity(self) -> str:
        """Return the id of the run directory; empty where it has none yet."""
        path = self._identity_path
        return path.read_text(errors="replace").strip() if path.exists() else ""

    @property
    def _identity_path(self) -> Path:
        return self.root / ".id"

    def published(self) -> str:
        """Return the fingerprint of what the study's own run on the dashboard shows; empty before
        the first such run."""
        path = self.root / ".published"
        return path.read_text(errors="replace").strip() if path.exists() else ""

    def note_published(self, state: str) -> None:
        """Write the fingerprint that `published` returns."""
        write_whole(self.root / ".published", state + "\n")

    def place_faults(self) -> list[Fault]:
        """Return why the run directory cannot be made or written to, as on a full disk. It is not
        made."""
        root = self.root.absolute()
        try:
            there = next(path for path in (root, *root.parents) if path.exists())
            with tempfile.TemporaryFile(dir=there, buffering=0) as file:
                file.write(b"0")
        except OSError as error:
            return [self._unwritable(error)]
        return []

    def _unwritable(self, error: OSError) -> Fault:
        reason = str(error.strerror or error)
        fault = f"but cannot be written to: {reason}. {to_mend(reason).rstrip()}".rstrip(". ")
        if error.errno in _NO_LOCKS:
            fault = f"on a file system that grants no lock ({error.strerror}): name a run_dir on another disk"
        return Fault("run_dir", f"is {self.root}, {fault}")

    def lock(self) -> Lock | None:
        """Return the lock of the study."""
        return read_record(_LOCK, self.root / "lock.json")

    def write_lock(self, lock: Lock) -> None:
        """Write or replace the lock of the study."""
        write_record(_LOCK, lock, self.root / "lock.json")

    def trial_dir(self, number: int) -> Path:
        """Return the folder of a trial."""
        return self.root / "trials" / f"{number:04d}"

    def has_begun(self) -> bool:
        """Return whether a trial was begun."""
        return any(self.root.glob("trials/*"))

    def events(self, number: int) -> list[Step | EvalPoint]:
        """Return the trial's rows in order. A last line that a crash cut off is left out."""
        return read_rows(self.trial_dir(number))

    def note_run(self, number: int, address: str) -> None:
        """Write the address of the trial's run (`records.run_address`)."""
        note_address(self.trial_dir(number), address)

    def run_address(self, number: int) -> str:
        """Return the address that `note_run` wrote; empty where there is none."""
        return noted_address(self.trial_dir(number))

    @property
    def study_dir(self) -> Path:
        """Return the folder of the study's own run, with its rows."""
        return self.root / "study"

    def note_study_address(self, address: str) -> None:
        """Write the address of the study's own run."""
        note_address(self.study_dir, address)

    def study_address(self) -> str:
        """Return the address that `note_study_address` wrote; empty where there is none."""
        return noted_address(self.study_dir)

    def noted_runs(self) -> frozenset[str]:
        """Return the addresses of all runs that were noted before their records were written."""
        folders = (folder for pattern in ("study", "trials/*", "unfinished/*") for folder in self.root.glob(pattern))
        return frozenset(map(noted_address, folders)) - {""}

    def marks(self, number: int) -> Marks:
        """Return the marks of a trial that is trained, or was stopped."""
        return Marks(self.trial_dir(number), cache_dir() / "disk_failed" / f"{self.known_identity()}-{number:04d}")

    def final_events(self, folder: Path | None = None) -> list[Step | EvalPoint]:
        """Return the rows of the winner's retraining, or of the retraining in another folder."""
        return read_rows(folder or self.final_dir)

    def write_trial(self, record: TrialRecord) -> None:
        """Write the record of a trial that has ended, and delete its marks. The scores of folds
        are written first, so that no trial has a record without them."""
        if isinstance(record.outcome, Completed) and record.outcome.out_of_fold is not None:
            write_whole(self.out_of_fold_path(record.number), record.outcome.out_of_fold)
        write_record(_TRIAL, record, self.trial_dir(record.number) / "record.json")
        self.marks(record.number).clear()
        self.forget_pause(record.number)

    def out_of_fold_path(self, number: int) -> Path:
        """Return the file with the scores of a trial's folds."""
        return self.trial_dir(number) / "out_of_fold.npy"

    def trials(self) -> list[TrialRecord]:
        """Return the records of all trials that have ended, by number."""
        found = (read_record(_TRIAL, folder / "record.json") for folder in self.trial_dirs().values())
        return _by_number(found)

    def trial_dirs(self) -> dict[int, Path]:
        """Return the folders of all trials, ended or not, by number. A folder of another name, as
        that of a user's copy, is no trial's."""
        folders = (path for path in self.root.glob("trials/*") if path.name.isdecimal() and path.is_dir())
        return {int(path.name): path for path in folders}

    def write_pause(self, record: TrialRecord) -> None:
        """Write the record that a paused trial gets unless it is promoted, and delete its
        marks."""
        write_record(_TRIAL, record, self._pause_path(record.number))
        self.marks(record.number).clear()

    def pause(self, number: int) -> TrialRecord | None:
        """Return the record that a paused trial gets unless it is promoted."""
        return read_record(_TRIAL, self._pause_path(number))

    def forget_pause(self, number: int) -> None:
        """Delete the record of the pause of a trial that goes on or has ended."""
        with suppress(OSError):  # where a trial has a record too, that one counts
            self._pause_path(number).unlink(missing_ok=True)

    def paused_trials(self) -> list[TrialRecord]:
        """Return the records that the paused trials get unless they are promoted, by number."""
        dirs = self.trial_dirs()
        return _by_number(self.pause(number) for number in dirs if not (dirs[number] / "record.json").exists())

    def _pause_path(self, number: int) -> Path:
        return self.trial_dir(number) / "paused.json"

    def drop_best(self, number: int) -> None:
        """Delete the saved adapters of a trial that is not the study's best."""
        for folder in (*self.trial_dir(number).glob("best*"), *self.trial_dir(number).glob("newest*")):
            shutil.rmtree(folder, ignore_errors=True)

    def note_test_reading(self, number: int, chosen: Sequence[int]) -> int:
        """Record, before it happens, that the model of trial `number` reads the test split. Return
        the number of readings.

        The models of all trials that were `chosen` together share one reading. Another choice is a
        new reading, and so is a model that reads again because its record was lost.
        """
        note = {"trial": number, "chosen": sorted(chosen), "at": now()}
        append_line(self._readings_path, json.dumps(note))
        return self.test_readings()

    def test_readings(self) -> int:
        """Return how often the test split was read.

        A last line without a line break does not count, since the split is read after its line is
        on the disk. Any other damaged line counts as a reading.
        """
        path = self._readings_path
        return count_readings(map(noted_reading, path.read_bytes().split(b"\n")[:-1])) if path.exists() else 0

    @property
    def _readings_path(self) -> Path:
        return self.root / "test_readings.jsonl"

    def repeat_path(self, number: int, index: int) -> Path:
        """Return the file of the `index`-th training of trial `number` with a fresh seed."""
        return self.root / "confirm" / f"{number:04d}-{index}.json"

    def repeat(self, number: int, index: int) -> Repeat | None:
        """Return the record of the `index`-th training of trial `number` with a fresh seed."""
        return read_record(_REPEAT, self.repeat_path(number, index))

    def write_repeat(self, repeat: Repeat, index: int) -> None:
        """Write the record of the `index`-th training of a trial with a fresh seed."""
        write_record(_REPEAT, repeat, self.repeat_path(repeat.number, index))

    def retrain_dir(self, number: int) -> Path:
        """Return the folder of the retraining that precedes the refit of trial `number`."""
        return self.root / "retrained" / f"{number:04d}"

    def retraining(self, number: int) -> RetrainRecord | None:
        """Return the record of the retraining that precedes the refit of trial `number`."""
        return read_record(_RETRAIN, self.retrain_dir(number) / "record.json")

    def write_retraining(self, record: RetrainRecord, events: Sequence[Step | EvalPoint]) -> None:
        """Write the rows and the record of a retraining, and delete an earlier one.

        The record is written last: rows without a record are not read.
        """
        folder = self.retrain_dir(record.number)
        shutil.rmtree(folder, ignore_errors=True)
        for event in events:
            append_row(event, folder)
        write_record(_RETRAIN, record, folder / "record.json")

    def choice_dir(self, choice: Scalar) -> Path:
        """Return the folder of the retrained best trial of a compared value that did not win."""
        name = quote(str(choice), safe=" ")
        if len(name) > _LONGEST:  # a prompt, for example
            name = f"{name[:_LONGEST]}-{Fingerprint().add(name).hex()[:16]}"
        # Dots alone name this folder or its parent; these endings name a folder that is being
        # replaced.
        if name.endswith((".new", ".old")):
            name = f"{name[:-4]}%2E{name[-3:]}"
        return self.root / "methods" / (name if name.strip(".") else f"value{len(name)}")

    @property
    def final_dir(self) -> Path:
        """Return the folder of the winner."""
        return self.root / "final"

    def write_final(
        self,
        record: FinalRecord,
        events: Sequence[Step | EvalPoint] = (),
        folder: Path | None = None,
        refit: Sequence[Step | EvalPoint] = (),
    ) -> None:
        """Write the record and the rows of the retraining and of the refit to `final_dir`, or to
        another folder."""
        target = folder or self.final_dir
        for event in events:
            append_row(event, target)
        for event in refit:
            append_row(event, refit_dir(target))
        write_record(_FINAL, record, target / "record.json")

    def final(self, folder: Path | None = None) -> FinalRecord | None:
        """Return the record of the winner, or the final record in another folder."""
        return read_record(_FINAL, (folder or self.final_dir) / "record.json")

    def finals(self) -> dict[Path, FinalRecord]:
        """Return the final records by their folders: of the winner, and of the other compared
        values in `methods/`."""
        folders = (self.final_dir, *sorted(path.parent for path in self.root.glob("methods/*/record.json")))
        found = {folder: read_record(_FINAL, folder / "record.json") for folder in folders}
        return {folder: record for folder, record in found.items() if record is not None}


def refit_dir(final: Path) -> Path:
    """Return the folder of a refit's rows, inside that of its final record."""
    return final / "refit"


def _by_number(found: Iterable[TrialRecord | None]) -> list[TrialRecord]:
    """Return the records by number; the names of folders are in that order up to 9999 alone."""
    return sorted((record for record in found if record is not None), key=lambda record: record.number)
