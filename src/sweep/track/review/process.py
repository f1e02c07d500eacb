"""A review in a process of its own.

`wandb_workspaces` takes the server and the account from the environment alone, prints, and waits
as long as its client waits. None of that reaches the study.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

from pydantic import TypeAdapter

from sweep.config.secrets import scrub
from sweep.track.credentials import Account
from sweep.track.review.content import Review, Written

MISSING = "wandb-workspaces is not installed: pip install 'sweep[review]'"
# Variables that would send the review elsewhere, or keep it offline.
_DISTURBING = ("WANDB_MODE", "WANDB_DISABLED", "WANDB_PROJECT", "WANDB_ENTITY", "WANDB_SWEEP_ID", "WANDB_RUN_ID")


def installed() -> bool:
    """Return whether the extra `review` is installed."""
    return find_spec("wandb_workspaces") is not None


def written(review: Review, account: Account, base_url: str, *, seconds: float) -> Written:
    """Write a review with an account, within a time limit. A failure is the `fault` of the
    answer."""
    if not installed():
        return Written(fault=MISSING)
    environment = {name: value for name, value in os.environ.items() if name not in _DISTURBING}
    environment |= {"WANDB_SILENT": "true"} | ({"WANDB_BASE_URL": base_url} if base_url else {})
    if account.api_key is not None:
        environment["WANDB_API_KEY"] = account.api_key
    command = [sys.executable, "-m", "sweep.track.review"]
    asked = TypeAdapter(Review).dump_json(review)
    try:
        done = subprocess.run(command, input=asked, capture_output=True, env=environment, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return Written(fault=f"it took more than {seconds:.0f} s")
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        return Written(fault=scrub(said[-1]) if said else f"the client ended with code {done.returncode}")
    return TypeAdapter(Written).validate_json(done.stdout.splitlines()[-1])
