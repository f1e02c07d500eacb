"""The service process of the W&B client: its settings while a study runs, its log of a run, and
its end."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock, RLock, Thread
from typing import Any

import wandb
from wandb.sdk import wandb_setup

from sweep.track.tracker import Say

# Settings that the client would take from the environment in place of those of the study.
_DISTURBING = ("sweep_id", "sweep_param_path", "run_id", "resume", "resume_from", "fork_from", "launch", "config_paths")
# Settings that the client changes itself as soon as a run has a key.
_CHANGED_BY_CLIENT = ("api_key", "base_url")

# Log messages of the client after which it does not retry; they are in the log of the run alone.
_GIVEN_UP = ("filestream: fatal error", "runfiles: CreateRunFiles returned error", "runupserter: failed to upload")
_ALERT_REFUSED = "sender: sendAlert: failed"
_STATUS = re.compile(r"\b([45]\d\d) [A-Z]")

# Times that the process is started.
_STARTS = 3
# Seconds for the process to end by itself after it has written all rows to disk.
_ENDING = 1.0
# Seconds in which a process that was killed has ended, on a busy machine too.
_ENDED = 0.5


class ServiceProcess:
    """The client's process while a study runs, and another one in its place where it has ended
    unasked. It has settings of its own until they are `put_back`.

    Files wait for their upload in `folder`, unless the user has named a folder. `tell` prints a
    line.
    """

    def __init__(self, folder: Path, tell: Say) -> None:
        self._tell = tell
        self._renewing = Lock()
        self._number = 0
        self.settings = _started().settings
        self._before = {name: getattr(self.settings, name) for name in (*_DISTURBING, *_CHANGED_BY_CLIENT)}
        _separate(self.settings)
        places = {"WANDB_DATA_DIR": folder / "staging", "WANDB_CACHE_DIR": folder / "cache"}
        self._places = {name: str(place) for name, place in places.items() if name not in os.environ}
        os.environ.update(self._places)

    @property
    def number(self) -> int:
        """Return how many processes have ended before the present one; wait for one that is being
        started."""
        with self._renewing:
            return self._number

    def renew_if_gone(self) -> int:
        """Start a new process where the former one was killed or crashed: without one no run can
        be started. Open runs go on in it at their next row. Return its `number`."""
        with self._renewing:
            if gone():
                self._tell("W&B: the process of its client has ended; a new one is started, and open runs go on in it")
                _tear_down()
                self.settings = _started().settings
                _separate(self.settings)
                self._number += 1
            return self._number

    def put_back(self) -> None:
        """Restore the settings and the environment."""
        for name, value in self._before.items():
            setattr(self.settings, name, value)
        for name in self._places:
            os.environ.pop(name, None)


def _separate(settings: Any) -> None:
    """Keep the environment out of the settings."""
    for name in _DISTURBING:
        setattr(settings, name, False if name == "launch" else None)


def _started() -> Any:
    """Return the client's own object, with its process; tried again where the process ends at its
    start. The client then asks for this object while it makes it, and would wait for its own lock
    for ever: the lock is replaced by one that it may take twice."""
    with suppress(Exception):  # not exported
        if not isinstance(wandb_setup._singleton_lock, type(RLock())):
            wandb_setup._singleton_lock = RLock()  # type: ignore[assignment]
    for _ in range(_STARTS - 1):
        with suppress(Exception):  # of the process, the pipe to it, or of both
            return wandb.setup(settings=wandb.Settings(silent=True))
    return wandb.setup(settings=wandb.Settings(silent=True))


def gone() -> bool:
    """Return whether the process has ended unasked: it was killed, or crashed. Functions that are
    not exported are used; if one is missing, it is not known to have."""
    with suppress(Exception):
        process = wandb.setup().assert_service()._proc
        if process is not None:
            process._process.wait(_ENDED)  # raises where it runs: its connection may close a moment before its end
            return True
    return False


def abandon(runs: Sequence[wandb.Run]) -> None:
    """Have the process write the rows of these runs to disk, and end it without waiting for a
    server.

    At the end of the program the process would wait until every run is uploaded. The functions
    used here are not exported; if one is missing, the process ends as the client ends it.
    """
    with suppress(Exception):
        connection = wandb.setup().assert_service()
        for run in runs:
            if run._run_status_checker is not None:
                run._run_status_checker.stop()
            connection.inform_finish(run.id)
        ending = Thread(target=_tear_down, daemon=True)
        ending.start()
        ending.join(_ENDING)
        if ending.is_alive() and connection._proc is not None:
            connection._proc._process.kill()


def _tear_down() -> None:
    with suppress(Exception, SystemExit):
        wandb.teardown()


def given_up(folder: Path) -> str:
    """Return why the client gave up on sending a part of the run in `folder`; empty if it did not.

    If the server answered with an HTTP status, that is the reason.
    """
    entries = list(_log(folder))
    failed = [entry for entry in entries if str(entry.get("msg", "")).startswith(_GIVEN_UP)]
    if not failed:
        return ""
    said = f"{failed[0].get('msg')} {failed[0].get('error', '')}"
    return f"HTTP {status[1]}" if (status := _STATUS.search(said)) else said.partition(": ")[2] or said


def refused_alert(folder: Path) -> str:
    """Return why the server did not take an alert of the run in `folder`; empty if it took all."""
    said = (str(entry.get("msg", "")) for entry in _log(folder))
    return next((one.rpartition("alert: ")[2].strip() for one in said if one.startswith(_ALERT_REFUSED)), "")


def last_status(folder: Path) -> str:
    """Return the status of the last answer that the client logged as an error, such as `HTTP 503`;
    empty if there is none."""
    statuses = [
        entry["status"] for entry in _log(folder) if entry.get("msg") == "api: HTTP error" and "status" in entry
    ]
    return f"HTTP {statuses[-1]}" if statuses else ""


def _log(folder: Path) -> Iterator[Mapping[str, Any]]:
    with suppress(OSError):
        for line in (folder / "logs" / "debug-internal.log").read_text(errors="replace").splitlines():
            with suppress(json.JSONDecodeError):
                entry = json.loads(line)
                if isinstance(entry, dict):
                    yield entry
