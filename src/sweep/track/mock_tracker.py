"""`tracker=mock`: the W&B tracker, pointed at a mock W&B server that this process starts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sweep.config.schema import Config
from sweep.errors import UserError
from sweep.records.trial import TrialPlan
from sweep.track.arrivals import Expected
from sweep.track.credentials import Account
from sweep.track.mock_settings import FOLDER, mock_settings
from sweep.track.patience import NeverStopped, Patience, Stop
from sweep.track.tracker import CutRun, JobType, Run, Say, StoppedRun
from sweep.track.wandb_tracker import WandbTracker
from wandb_mock import MockServer


@contextmanager
def serving(folder: Path) -> Iterator[Account]:
    """Serve what a study's mock server kept in a folder, and yield the account of it."""
    with MockServer(folder) as server:
        yield _account(server)


def _account(server: MockServer) -> Account:
    return Account(server.url, server.api_key, "the mock server")


class MockTracker(WandbTracker):
    """The server keeps everything in `RUN_DIR/wandb-mock` and stops when the tracker is closed. A
    study that goes on starts it again on the same folder.

    Raises UserError where the server cannot listen on `tracker.port`.
    """

    def __init__(self, config: Config, run_dir: Path, *, say: Say, stop: Stop | None = None) -> None:
        port = mock_settings(config.tracker).port
        try:
            self.server = MockServer(run_dir / FOLDER, port=port)
        except OSError as error:
            rule = f"is {port}, but the mock server cannot listen there: {error.strerror or error}"
            raise UserError.of("tracker.port", rule) from None
        account = _account(self.server)
        patience = Patience.endless(stop or NeverStopped())
        super().__init__(config, run_dir, account=account, say=say, patience=patience, send_every=1)
        self._trained: set[tuple[JobType, int]] = set()
        say(f"mock W&B server: {self.server.url}")

    @property
    def expected(self) -> Expected:
        """Return the runs of this process, which `sweep.track.arrivals` looks for at the
        server."""
        study = any(run.job_type is JobType.STUDY for run in self.runs)
        return Expected({run.id: run.name for run in self.runs}, frozenset(self._trained), study)

    def open(self, trial: TrialPlan, job_type: JobType = JobType.TRIAL) -> Run:
        self._trained.add((job_type, trial.number))
        return super().open(trial, job_type)

    def resume(self, trial: TrialPlan, stopped: StoppedRun) -> Run | None:
        self._trained.add((stopped.job_type, trial.number))
        return super().resume(trial, stopped)

    def complete(self, cut: CutRun) -> bool:
        completed = super().complete(cut)
        if completed:
            self._trained.add((cut.job_type, cut.number))
        return completed

    def close(self) -> tuple[str, ...]:
        """Return the client's lines only where something did not arrive: `sweep.track.arrivals`
        tells the rest."""
        try:
            lines = super().close()
        finally:
            self.server.close()
        return lines if any(not run.arrived for run in self.runs) else ()
