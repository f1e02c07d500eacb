"""The facts of a study on the overview page of its W&B run (command, commit, versions), and the
metrics of the machine."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import wandb

from sweep.config.secrets import scrub_typed
from sweep.records.lock import Lock

# The file that the overview page reads. The client would write the typed command, the user, the
# host and paths of this machine into it.
_METADATA = "wandb-metadata.json"
_PROGRAM = "-m sweep"


def facts_of(lock: Lock | None) -> dict[str, Any]:
    """Return what the run's config has beside the config of the study."""
    if lock is None:
        return {}
    facts = {
        "command": scrub_typed(lock.command), "commit": lock.git.commit, "dirty": lock.git.dirty,
        "versions": dict(lock.versions), "machine": dict(lock.machine), "created": lock.created,
    }  # fmt: skip
    return {"lock": facts}


def describe(settings: wandb.Settings, lock: Lock | None) -> None:
    """Set the program and the commit, which the client sends with the start of the run."""
    settings.program = _PROGRAM
    if lock is not None and lock.git.commit:
        settings.git_commit = lock.git.commit


def measure_machine(settings: wandb.Settings, *, every: float) -> None:
    """Have the client measure the machine `every` so many seconds: its processors, memory, disks,
    network and accelerators. Its name is not sent."""
    settings.x_disable_stats = settings.x_disable_machine_info = False
    settings.x_stats_sampling_interval = every
    settings.host = ""


def save_metadata(run: wandb.Run, lock: Lock) -> None:
    """Give the run the file that the overview page reads, without what the client would add."""
    command = scrub_typed(lock.command)
    about = {
        "os": lock.machine.get("system", ""), "python": lock.machine.get("python", ""), "startedAt": lock.created,
        "program": _PROGRAM, "args": _arguments(command), "git": {"commit": lock.git.commit},
    }  # fmt: skip
    path = Path(run.settings.files_dir) / _METADATA
    path.write_text(json.dumps(about))
    run.save(str(path), base_path=str(path.parent), policy="now")


def _arguments(command: str) -> list[str]:
    """Return the arguments of a command that begins with `python -m sweep`."""
    arguments = command.partition(_PROGRAM)[2]
    try:
        return shlex.split(arguments)
    except ValueError:  # a secret between two quotes was masked together with one of them
        return arguments.split()
