"""One W&B run: its rows, and its end, which takes place in a thread of its own so that a slow
server delays nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event, Thread
from typing import Any, Protocol

import wandb

from sweep.config.schema import Config
from sweep.config.secrets import scrub
from sweep.errors import first_line
from sweep.records.trial import Metrics
from sweep.track.tracker import SECONDS, STEP, Alert, Ending, JobType
from sweep.track.wandb_end import link_model, log_model, media_of
from sweep.track.wandb_service import given_up, last_status, refused_alert

_OPTUNA_STATES = {"completed": "COMPLETE", "pruned": "PRUNED"}

# Bytes of a model that a working server takes in a second.
_UPLOAD = 5e6

# Times that a run goes on in a new process of the client within one call, or at its end.
_REOPENINGS = 3

# The client's message for an answer without a text.
_SAYS_NOTHING = "<no message>"


class Owner(Protocol):
    """The part of a tracker that its runs use."""

    config: Config

    def tell(self, line: str) -> None: ...

    def doubt(self, trouble: str) -> None:
        """Record that the server may be unreachable, and tell the user."""

    def refused(self, run: WandbRun, reason: str) -> None:
        """Record that the server has refused a part of the run for good."""

    def before_end(self, run: WandbRun) -> None:
        """Wait for what is still being attached to the run."""

    def reopened(self, run: WandbRun) -> wandb.Run | None:
        """Return a run of a new service process that goes on with `run`, where the process that
        had it is gone; else None."""

    def ended(self, run: WandbRun) -> None:
        """Record that nothing more of the run will be sent."""

    def wait_for(self, run: WandbRun) -> None:
        """Wait for the end of the run within the time limits."""


class WandbRun:
    """A run of the W&B client.

    `arrived`: the server has confirmed all of it. `refused`: the server has refused a part of it
    for good. `closed`: nothing more will be sent.
    """

    def __init__(
        self, run: wandb.Run, owner: Owner, job_type: JobType, *, process: int = 0,
        first_summary: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """`process` is the number of the client's process that has the run (`ServiceProcess`);
        `first_summary` is that of the run at its start."""
        self.client = run
        self.process = process
        self.first_summary = first_summary or {}
        self._owner = owner
        self._kept: list[Mapping[str, float]] = []  # the rows since `_first`, which a new process may need
        self._first = run.starting_step
        self._lost = False
        self._ending: Ending | None = None
        self.rows = 0
        self.name = str(run.name)
        self.id = str(run.id)
        self.job_type = job_type
        self.axis = SECONDS if job_type is JobType.STUDY else STEP
        self.folder = Path(run.settings.sync_dir)
        self.offline = bool(run.offline)
        self.arrived = False
        self.refused = False
        self.closed = Event()

    @property
    def put_away(self) -> bool:
        """Return whether the run has ended only until its training goes on."""
        return self._ending is not None and self._ending.resumable

    @property
    def concludes(self) -> bool:
        """Return whether the run is that of a study, and has ended with it."""
        return (
            self.job_type is JobType.STUDY and self._ending is not None and not self.put_away and not self._ending.code
        )

    @property
    def address(self) -> str:
        return self.client.url or str(self.folder)

    @property
    def upload(self) -> float:
        """Return the seconds that a working server needs for the files of the run."""
        folder = self._ending.artifact if self._ending else None
        files = (path for path in folder.rglob("*") if path.is_file()) if folder and not self.offline else ()
        return sum(path.stat().st_size for path in files) / _UPLOAD

    def log(self, step: int, metrics: Metrics) -> None:
        row: dict[str, float] = {self.axis: step, **metrics}
        if self.attempt("took no more rows", lambda: self.client.log(row)):
            self._kept.append(row)
            self.rows += 1

    def alert(self, alert: Alert) -> None:
        """Send an alert whose kind is in `tracker.alerts`. A server that refuses it costs no
        row. A run that has an end sends none: it would be opened again for it."""
        if alert.kind not in self._owner.config.tracker.alerts or self._lost or self._ending is not None:
            return
        for left in reversed(range(_REOPENINGS + 1)):
            try:
                self.client.alert(scrub(alert.title), scrub(alert.text), alert.level, alert.quiet)
                return
            except Exception as error:  # see `attempt`
                if not left or not self._reopen():
                    self._owner.tell(f"W&B: an alert was not sent: {error_text(error, self.folder)}")
                    return

    def finish(self, ending: Ending) -> None:
        if self.start_to_end(ending):
            self._owner.wait_for(self)

    def start_to_end(self, ending: Ending) -> bool:
        """End the run in a thread of its own. Return False if the run has an end already."""
        if self._ending is not None:
            return False
        self._ending = ending
        # The client waits within its calls for as long as its settings say, and a signal does not
        # end the wait.
        Thread(target=self._end, args=(ending,), daemon=True, name=f"end of {self.name}").start()
        return True

    def _end(self, ending: Ending) -> None:
        try:
            self._conclude(ending)
            self._owner.ended(self)
        finally:
            self.closed.set()

    def _conclude(self, ending: Ending) -> None:
        """Send the end of the run, and again where the client's process is gone meanwhile."""
        for left in reversed(range(_REOPENINGS + 1)):
            self.attempt("could not be given its results", lambda: self._give(ending))
            self._owner.before_end(self)
            if self._close(ending.code, last=not left):
                break

    def _give(self, ending: Ending) -> None:
        """Send summary and files. Both are sent again where a process of the client has ended
        before it had the last of them, since it may have sent none."""
        self._describe(ending)
        self._attach(ending)

    def _describe(self, ending: Ending) -> None:
        if ending.resumable:
            if ending.code:
                self.client.mark_preempting()
            if self.job_type is JobType.TRIAL:
                self.client.summary["optuna/state"] = "RUNNING"
        elif self.job_type is JobType.TRIAL:
            kind = () if ending.code == 0 else ("failed",)
            self.client.tags = (*(self.client.tags or ()), ending.state, *kind)
            self.client.summary["optuna/state"] = _OPTUNA_STATES.get(ending.state, "FAIL")
        self.client.summary.update({"state": ending.state, **clean(ending.summary or {})})

    def _attach(self, ending: Ending) -> None:
        for path in ending.files:
            self.client.save(str(path), base_path=str(path.parent), policy="now")
        if media := media_of(ending, self._owner.config):
            self.client.log(media)
        if ending.artifact is not None:
            self._attach_model(ending.artifact)

    def _attach_model(self, folder: Path) -> None:
        artifact = log_model(self.client, folder, self._owner.config)
        if self.offline:
            return
        try:
            artifact.wait(timeout=max(1, round(self._owner.config.tracker.finish_timeout)))
        except Exception as error:  # a time-out, the server's refusal, or an answer that the client cannot read
            self._owner.tell(
                f"W&B has not confirmed the artifact {artifact.name}: {error_text(error, self.folder)}. "
                f"The model is in {folder}."
            )
            return
        try:
            link_model(artifact, self._owner.config)
        except Exception as error:  # see `attempt`
            registry = self._owner.config.tracker.registry
            self._owner.tell(f"W&B cannot link the model to the registry {registry}: {error_text(error, None)}")

    def _close(self, exit_code: int, *, last: bool) -> bool:
        """Return False where the end is to be sent to a new process, unless it was the `last`
        try."""
        try:
            self.client.finish(exit_code=exit_code)
            reason = "" if self.offline else given_up(self.folder)
            if not self.offline and (refused := refused_alert(self.folder)):
                self._owner.tell(f"W&B took no alert of {self.name}: {scrub(' '.join(refused.split()))}")
            self.refused = bool(reason)
            self.arrived = not self._lost and not self.offline and not self.refused
            if reason:
                self._owner.refused(self, reason)
        except TimeoutError:
            seconds = self._owner.config.tracker.finish_timeout
            self._owner.doubt(f"W&B did not take all of {self.name} within {seconds:g} s")
        except Exception as error:  # see `attempt`
            if not last and self._reopen():
                return False
            self._owner.doubt(f"W&B could not close {self.name}: {error_text(error, self.folder)}")
        return True

    def attempt(self, failure: str, action: Callable[[], object]) -> bool:
        """Call the client, and return whether it succeeded. After the first failure nothing more
        is sent, unless a new process of the client goes on with the run.

        The client raises its own errors, those of the pipe to its service, and internal errors
        that it does not export: none of them may end a study.
        """
        if self._lost:
            return False
        for left in reversed(range(_REOPENINGS + 1)):
            try:
                action()
                break
            except Exception as error:
                if not left or not self._reopen():
                    self._lost = True
                    self._owner.tell(f"W&B: {self.name} {failure}: {error_text(error, self.folder)}")
                    break
        return not self._lost

    def _reopen(self) -> bool:
        """Go on with the run in a new process of the client, where the former one is gone: with
        the rows that the server lacks. Return whether that succeeded."""
        for _ in range(_REOPENINGS):
            try:
                if (client := self._owner.reopened(self)) is None:
                    return False
                self.client = client
                self.folder = Path(client.settings.sync_dir)
                for row in self._kept[max(client.starting_step - self._first, 0) :]:
                    client.log(dict(row))
            except Exception:  # see `attempt`; the new process may be gone too
                continue
            return True
        return False


def error_text(error: Exception, folder: Path | None) -> str:
    """Return the text of a client's error; if it has none, the HTTP status in the log of the run
    in `folder`."""
    said = first_line(error)
    if said == _SAYS_NOTHING or said == type(error).__name__:
        said = (last_status(folder) if folder else "") or type(error).__name__
    return scrub(said)


def clean(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values without secrets."""
    return {name: scrub(value) if isinstance(value, str) else value for name, value in values.items()}
