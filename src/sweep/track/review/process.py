"""A review in a process of its own.

`wandb_workspaces` takes the server and the account from the environment alone, prints, and waits
as long as its client waits. None of that reaches the study.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from importlib.util import find_spec

from pydantic import TypeAdapter

from sweep.config.secrets import scrub
from sweep.errors import Interrupted, first_line
from sweep.track.credentials import Account
from sweep.track.patience import NeverStopped, Stop
from sweep.track.review.content import Review, Written

MISSING = "wandb-workspaces is not installed: pip install 'sweep[review]'"
# Variables that would send the review elsewhere, or keep it offline.
_DISTURBING = ("WANDB_MODE", "WANDB_DISABLED", "WANDB_PROJECT", "WANDB_ENTITY", "WANDB_SWEEP_ID", "WANDB_RUN_ID")
_POLL = 0.2  # seconds between two looks at the flags of a stop


def installed() -> bool:
    """Return whether the extra `review` is installed."""
    return find_spec("wandb_workspaces") is not None


def written(review: Review, account: Account, base_url: str, *, seconds: float, stop: Stop | None = None) -> Written:
    """Write a review with an account, within a time limit; `stop` ends it at once. Return the ids
    of what was written, or a `fault`."""
    if not installed():
        return Written(fault=MISSING)
    environment = {name: value for name, value in os.environ.items() if name not in _DISTURBING}
    environment |= {"WANDB_SILENT": "true"} | ({"WANDB_BASE_URL": base_url} if base_url else {})
    if account.api_key is not None:
        environment["WANDB_API_KEY"] = account.api_key
    command = [sys.executable, "-m", "sweep.track.review"]
    asked = TypeAdapter(Review).dump_json(review)
    try:
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
        ) as child:
            try:
                said = _said(child, asked, time.monotonic() + seconds, stop or NeverStopped())
            finally:
                child.kill()
    except TimeoutError:
        return Written(fault=f"it took more than {seconds:.0f} s")
    except (OSError, Interrupted) as error:
        return Written(fault=first_line(error))
    return _read(*said, child.returncode)


def _said(child: subprocess.Popen[bytes], asked: bytes, end: float, stop: Stop) -> tuple[bytes, bytes]:
    """Return the output of a process and its errors.

    Raises TimeoutError after the time `end`, and Interrupted at a stop.
    """
    given: bytes | None = asked
    while True:
        try:
            return child.communicate(given, timeout=_POLL)
        except subprocess.TimeoutExpired:
            given = None  # it has all of it, or goes on to get it
        if stop.raised:
            raise Interrupted("the command was stopped")
        if time.monotonic() > end:
            raise TimeoutError


def _read(output: bytes, errors: bytes, code: int) -> Written:
    lines = errors.decode(errors="replace").strip().splitlines()
    if code:
        return Written(fault=scrub(lines[-1]) if lines else f"the client ended with code {code}")
    try:
        return TypeAdapter(Written).validate_json(output.splitlines()[-1])
    except (IndexError, ValueError):
        return Written(fault="the answer of the client cannot be read")
