"""The loss of a worker, and errors that happened on one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from sweep.errors import Fault, UserError, disk_failure, first_line, out_of_memory, shortened
from sweep.launch.object_store import as_disk_failure

_ANSWERED = 60.0  # seconds

# Parts of Ray's messages on an actor that died.
_SIGNS = {
    "node has died": "its node is gone", "low on memory": "its memory ran out",
    "has died": "its process was killed or crashed", "connection error": "its process was killed or crashed",
    "is unavailable": "it does not answer any more", "cannot be reconstructed": "its node is gone",
}  # fmt: skip


class WorkerLostError(Exception):
    """The worker that hosted an object has died, or was told to end."""

    def __init__(self, host: str, why: str) -> None:
        super().__init__(host, why)
        self.host, self.why = host, why

    def __str__(self) -> str:
        return f"the worker on {self.host} is gone: {self.why}"


class RemoteTraceback(Exception):
    """The cause of an error that was raised on a worker: its traceback there, as text."""

    def __str__(self) -> str:
        return f"\n\n{self.args[0]}"


def on_host(text: str, host: str) -> str:
    """Return a text about something on a worker, with the host: it may be otherwise elsewhere. An
    empty host is this process, and not named."""
    return f"{text}, on the worker on {host}" if host else text


def of_host(faults: Sequence[Fault], host: str) -> list[Fault]:
    """Return faults of a worker, with its host, as `on_host` does."""
    return [replace(one, message=on_host(one.message, host)) for one in faults]


def raise_remote(error: BaseException, trace: str, host: str) -> None:
    """Raise the error of a worker on `host`, with its traceback there as the cause. A file that it
    names, or that a disk had no room for, is said to be on that host, and so are a fault of the
    user and memory that ran out."""
    error = as_disk_failure(error)
    if isinstance(error, UserError):
        error = UserError(of_host(error.faults, host))
    if out_of_memory(error):
        error = MemoryError(on_host(first_line(error), host))
    if isinstance(error, OSError) and (error.filename is not None or disk_failure(error)):
        error.filename = f"{error.filename or 'a file'} on {host}"
    raise error from RemoteTraceback(f"on the worker on {host}:\n{trace}")


def why_not_greeted(actor: Any, own_code: Mapping[str, str], error: BaseException) -> tuple[str, ...]:
    """Return why an actor raised an error when it was greeted: because of the user's own code,
    without which Ray cannot read the config there, or else the error itself."""
    import ray
    from ray.exceptions import RayError

    with suppress(RayError):
        if found := ray.get(actor.lacks.remote(own_code), timeout=_ANSWERED):
            return tuple(found)
    return (f"{type(error).__name__}: {first_line(error)}",)


def why_it_died(error: Exception) -> str:
    """Return why an actor is gone, in a few words."""
    text = " ".join(str(error).split())
    for sign, why in _SIGNS.items():
        if sign in text:
            return why
    last = str(error).strip().splitlines()[-1:] or [""]
    mended = "; install there what is missing" if "ModuleNotFoundError" in last[0] else ""
    return f"its process ended: {shortened(last[0].strip(), 200)}{mended}"
