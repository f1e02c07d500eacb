"""The winner of a finished run directory, as a user names it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sweep.errors import UserError, closest
from sweep.records.counted import counting
from sweep.records.final import FinalRecord
from sweep.records.lock import Lock
from sweep.records.store import Store
from sweep.records.trial import Completed

MANIFEST = "sweep_model.json"  # in the folder of a saved model; sweep.model.manifest reads it
_EXAMPLE = "give the run directory of a study, such as runs/quickstart"


@dataclass(frozen=True, slots=True)
class Winner:
    """A winner: its run directory, lock and final record, and the folder of that record."""

    store: Store
    lock: Lock
    record: FinalRecord
    folder: Path

    @property
    def model(self) -> Path:
        """Return the folder of the saved model."""
        return self.folder / "model"


def read_lock(store: Store) -> Lock:
    """Return the lock of a run directory. Raises UserError where `store` is none."""
    root = store.root
    if not root.is_dir():
        raise UserError.of(str(root), f"is no folder; {_EXAMPLE}")
    lock = store.lock()
    if lock is None:
        inside = sorted(path.parent.name for path in root.glob("*/lock.json"))
        hint = f"; below it there are: {', '.join(inside)}" if inside else ""
        above = next((str(path) for path in root.absolute().parents if (path / "lock.json").is_file()), "")
        hint = f"; it is inside of the run directory {above}" if above and not inside else hint
        raise UserError.of(str(root), f"is no run directory: it has no lock.json{hint}")
    return lock


def find_winner(root: Path, choice: str | None = None) -> Winner:
    """Return the winner of a run directory.

    `choice` is the value of `study.compare_by` whose winner it is, which must be given where a
    study compared several. Raises UserError where `root` is no run directory, where the study has
    no winner yet, and where `choice` names none of its winners.
    """
    store = Store(root)
    lock = read_lock(store)
    key, finals = lock.config.study.compare_by, store.finals()
    if key is None and choice is not None:
        rule = f"is {choice}, but {root} compared no methods (study.compare_by), and has one winner; leave it out"
        raise UserError.of("--choice", rule)
    if store.final_dir not in finals:
        raise UserError.of(str(root), _without_winner(store, lock))
    if key is None:
        return Winner(store, lock, finals[store.final_dir], store.final_dir)
    by_choice = {str(record.params[key]): (folder, record) for folder, record in finals.items() if key in record.params}
    folder, record = by_choice[_chosen(root, key, choice, by_choice)]
    return Winner(store, lock, record, folder)


def _chosen(root: Path, key: str, choice: str | None, there: Mapping[str, object]) -> str:
    listed = ", ".join(f"{name} (the best)" if index == 0 else name for index, name in enumerate(there))
    if choice is None:
        rule = f"has a winner for each value of {key} (study.compare_by): {listed}; name one, as in --choice {next(iter(there))}"
        raise UserError.of(str(root), rule)
    if choice not in there:
        rule = f"is {choice}, which is no compared value of {key}{closest(choice, there)}; values are {listed}"
        raise UserError.of("--choice", rule)
    return choice


def _without_winner(store: Store, lock: Lock) -> str:
    trials, wanted = counting(store.trials()), lock.config.study.n_trials
    completed = sum(isinstance(trial.outcome, Completed) for trial in trials)
    count = f"{len(trials)} of {wanted} trials have ended, and {completed} of them completed"
    if len(trials) >= wanted and not completed:
        return f"has no winner: {count}; see {store.root / 'report.md'}"
    return f"has no winner yet: {count}; wait for it if it still runs, or go on with its command: {lock.command}"
