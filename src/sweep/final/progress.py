"""A training of the last steps that has not ended: its rows, its run and its snapshot, in the run
directory.

unfinished/retrain-0003/  events.jsonl, tracker_run and training of the retraining of trial 3;
                          refit-0003 and confirm-0003-1 are named likewise
snapshots/                where each goes on (`sweep.records.snapshots`)
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from sweep.provenance import Fingerprint
from sweep.records.disk import write_whole
from sweep.records.events import events_path, read_rows
from sweep.records.row_log import Row, RowLog
from sweep.records.run_address import note_address, noted_address
from sweep.records.snapshot import Snapshot
from sweep.records.snapshots import Snapshots
from sweep.records.store import Store
from sweep.records.trial import TrialPlan

FOLDER = "unfinished"
_KINDS = ("confirm-", "retrain-", "refit-")


@dataclass(slots=True)
class Progress:
    """Rows, run and snapshot of one training.

    A training that goes on from its snapshot repeats the rows that came after it: these are not
    kept twice.
    """

    folder: Path
    snapshots: Snapshots
    key: str
    log: RowLog = field(init=False)
    mark: str = ""  # of this training: the same for one of the same settings alone
    step: int = 0  # of the snapshot; 0 without one
    stopped: bool = False  # an earlier process began it

    @classmethod
    def of(cls, store: Store, key: str, plan: TrialPlan, *, say: Callable[[str], None]) -> Progress:
        """Return what an earlier process left of the same training, or an empty progress. The step
        of its snapshot is known after `look`."""
        found = cls(store.root / FOLDER / key, Snapshots(store.root, say=say), key)
        mark, same = found.folder / "training", _same(plan)
        found.stopped = mark.exists() and mark.read_text() == same
        if not found.stopped:
            found.drop()
            write_whole(mark, same)
        found.mark = same.strip()
        found.log = RowLog.of(found.folder)
        return found

    @property
    def kept_key(self) -> str:
        """Return the key of its snapshot among those that stay on a worker."""
        return f"{self.key}-{self.mark}"

    def look(self) -> None:
        """Look up the step of the snapshot."""
        self.step = self.snapshots.step(self.key)

    @property
    def address(self) -> str:
        """Return the address of the tracker's run; empty before it was opened."""
        return noted_address(self.folder)

    def note_run(self, address: str) -> None:
        """Write the address of the tracker's run; nothing where the tracker has none."""
        note_address(self.folder, address)

    def begin(self, plan: TrialPlan) -> TrialPlan:
        """Return the plan with the snapshot to go on from, if there is one."""
        snapshot = self.snapshots.read(self.key)
        self.step = 0 if snapshot is None else snapshot.step
        return replace(plan, snapshot=snapshot)

    def add(self, row: Row) -> bool:
        """Keep a row. Return False for one that was kept before the training went on."""
        return self.log.add(row)

    def keep(self, snapshot: Snapshot) -> None:
        """Keep a snapshot instead of the one before."""
        if self.snapshots.write(self.key, snapshot, events=events_path(self.folder)):
            self.step = snapshot.step

    def drop_snapshot(self) -> None:
        """Delete the snapshot of a training that has ended."""
        self.snapshots.drop(self.key)

    def drop(self) -> None:
        """Delete everything."""
        self.drop_snapshot()
        shutil.rmtree(self.folder, ignore_errors=True)


def kept_rows(store: Store, key: str) -> list[Row]:
    """Return the rows of a training whose record has no rows."""
    return read_rows(store.root / FOLDER / key)


def drop_all(store: Store, *, say: Callable[[str], None]) -> None:
    """Delete what is left of trainings when the last steps are over."""
    snapshots = Snapshots(store.root, say=say)
    for key in snapshots.keys():  # noqa: SIM118  # no mapping
        if key.startswith(_KINDS):
            snapshots.drop(key)
    shutil.rmtree(store.root / FOLDER, ignore_errors=True)


def _same(plan: TrialPlan) -> str:
    """Return a text that two plans share if they are of the same training."""
    settings = replace(plan.settings, snapshot_every=None)
    return Fingerprint().add(repr(settings)).add(str(plan.total_steps)).hex() + "\n"
