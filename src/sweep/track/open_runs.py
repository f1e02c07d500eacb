"""The W&B runs of a study that have no end yet."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from sweep.records.store import Store
from sweep.track.wandb_names import id_at, id_pattern, offline_id


class OpenRuns:
    """A file in `RUN_DIR/.open_runs` for each run without an end, by its id.

    The file is there before the run is. `left` are the ids that an earlier process left. Some of
    them are noted nowhere, since the process was killed before it knew the run's address.
    """

    def __init__(self, root: Path) -> None:
        self._folder, self._wandb = root / ".open_runs", root / "wandb"
        self.left = {mark.name for mark in self._folder.glob("*")}
        noted = Store(root).noted_runs() if self.left else frozenset[str]()
        self._unnoted = self.left - {id_at(address) or offline_id(address) for address in noted}

    def begun(self, name: str) -> str:
        """Return the id of the run of this name whose address an earlier process did not come to
        note; empty without one.

        Of the ids kept for a run (one for the server, one for offline), only the one that the
        client used has a folder. The client makes it before it asks the server.
        """
        kept = [run_id for run_id in sorted(self._unnoted) if re.fullmatch(id_pattern(name), run_id)]
        used = (
            run_id for kind in ("offline-run", "run") for run_id in kept if any(self._wandb.glob(f"{kind}-*-{run_id}"))
        )
        found = next(used, "")
        self.take_up(found)
        for run_id in kept:
            if run_id != found:
                self.forget(run_id)
        return found

    def take_up(self, run_id: str) -> None:
        """Note that this process goes on with a run."""
        self.left.discard(run_id)
        self._unnoted.discard(run_id)

    def mark(self, run_id: str) -> None:
        """Note a run that is about to start. Without the note it is not gone on with after a
        kill."""
        with suppress(OSError):
            self._folder.mkdir(exist_ok=True)
            (self._folder / run_id).touch()

    def forget(self, run_id: str) -> None:
        """Delete the note of a run that has ended, or never began."""
        self.take_up(run_id)
        with suppress(OSError):
            (self._folder / run_id).unlink(missing_ok=True)
