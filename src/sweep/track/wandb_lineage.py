"""Lineage on W&B: the data that every run uses."""

from __future__ import annotations

from pathlib import PurePath
from threading import Lock, Thread
from typing import Any

import wandb

from sweep.config.secrets import scrub
from sweep.provenance import DataState
from sweep.track.tracker import Say
from sweep.track.wandb_names import safe_name
from sweep.track.wandb_run import WandbRun, error_text
from sweep.track.wandb_service import ServiceProcess, gone

# Seconds for the data of a run to arrive before the run ends, within the usual time of an end.
_IN_TIME = 2.0
_HUB_DATASET = "https://huggingface.co/datasets"


class Lineage:
    """Declares the data of a study as an input of its runs, beside them: no training waits.

    `data` None declares nothing. The first failure costs one line, and the end of it; not where
    the client's process has ended meanwhile, since a run that goes on in a new one declares its
    data again.
    """

    def __init__(self, data: DataState | None, tell: Say, service: ServiceProcess) -> None:
        self._data = data
        self._tell = tell
        self._service = service
        self._off = data is None
        self._making = Lock()
        self._made: wandb.Artifact | None = None
        self._under_way: dict[str, Thread] = {}

    def use_data(self, run: WandbRun, client: wandb.Run | None = None) -> None:
        """Begin to declare the data as an input of a run, whose `client` is another one where it
        is opened again."""
        client, before = client or run.client, self._service.number
        if self._off:
            return
        if run.offline:
            self._attempt(run, lambda: self._use_offline(client), before)
            return
        work = Thread(target=self._attempt, args=(run, lambda: self._use(client), before), daemon=True)
        self._under_way[run.id] = work
        work.start()

    def settle(self, run: WandbRun) -> None:
        """Wait some seconds for what `use_data` began: a run that has ended takes no inputs."""
        work = self._under_way.pop(run.id, None)
        if work is None or self._off:
            return
        work.join(_IN_TIME)
        if work.is_alive():
            self._give_up(run, f"it took more than {_IN_TIME:.0f} s")

    def _attempt(self, run: WandbRun, action: Any, before: int) -> None:
        try:
            action()
        except Exception as error:  # see `WandbRun.attempt`
            if self._service.number == before and not gone():
                self._give_up(run, error_text(error, run.folder))

    def _give_up(self, run: WandbRun, reason: str) -> None:
        if not self._off:
            self._off = True
            self._tell(f"W&B: the data could not be declared as an input of {run.name} ({reason}), nor of later runs.")

    def _use(self, run: wandb.Run) -> None:
        assert self._data is not None
        with self._making:  # one version, although several runs start at once
            if self._made is None:
                self._made = run.use_artifact(data_artifact(self._data))
                return
        run.use_artifact(self._made)

    def _use_offline(self, run: wandb.Run) -> None:
        """Declare the data in the file of an offline run, for `wandb sync`. The client's own
        function for it asks the server."""
        assert self._data is not None
        run._log_artifact(data_artifact(self._data), is_user_created=True, use_after_commit=True)


def data_artifact(data: DataState) -> wandb.Artifact:
    """Return the rows of a study as an artifact that refers to them by their fingerprint: the same
    rows are the same version."""
    rows = {f"rows/{split}": count for split, count in data.rows.items()}
    # The folders of this machine are nobody else's business.
    source = scrub(data.source if data.revision else PurePath(data.source).name)
    about = {"fingerprint": data.fingerprint, "source": source, "revision": data.revision, **rows}
    artifact = wandb.Artifact(data_name(data), type="dataset", metadata={**about, "labels": len(data.label_names)})
    artifact.add_reference(_address(data), name="rows", checksum=False)
    return artifact


def data_name(data: DataState) -> str:
    """Return the name of the data's artifact, after the last part of where it comes from."""
    return f"{safe_name(scrub(PurePath(data.source).name)) or 'rows'}-data"


def _address(data: DataState) -> str:
    """Return an address that ends with the fingerprint; that of the hub where the rows are from
    there."""
    if data.revision:
        return f"{_HUB_DATASET}/{scrub(data.source)}/tree/{data.revision}#{data.fingerprint}"
    return f"sweep-data:{data.fingerprint}"
