"""Names and ids of W&B runs, and names of artifacts and their aliases."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from secrets import token_hex
from urllib.parse import unquote

from sweep.config.schema import Scalar, StudyConfig
from sweep.records.trial import TrialPlan
from sweep.track.addresses import WANDB, own_address
from sweep.track.tracker import JobType

_LONGEST_ID = 64


def name_of(trial: TrialPlan, job_type: JobType) -> str:
    """Return the name of a training's run."""
    return run_name(trial.config.study, job_type, trial.number, trial.params, trial.config.trainer.seed)


def run_name(study: StudyConfig, job_type: JobType, number: int, params: Mapping[str, Scalar], seed: int) -> str:
    """Return the name of the run of trial `number`, or of another training with its values."""
    match job_type:
        case JobType.FINAL | JobType.REFIT:
            choice = f"-{params.get(study.compare_by)}" if study.compare_by else ""
            return f"{study.study_name}-{job_type}{choice}"
        case JobType.CONFIRM:
            return f"{study.study_name}-{number:04d}-seed-{seed}"
        case _:
            return f"{study.study_name}-{number:04d}"


def study_run_name(study: StudyConfig) -> str:
    """Return the name of a study's own run."""
    return f"{study.study_name}-{JobType.STUDY}"


def new_id(name: str) -> str:
    """Return an id that is unique in a project.

    The client names the folder of a run by its id alone.
    """
    return f"{_as_id(name)}-{token_hex(4)}"


def id_pattern(name: str) -> str:
    """Return a regular expression for the ids that `new_id` makes of a name."""
    return re.escape(_as_id(name)) + "-[0-9a-f]{8}"


def _as_id(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name)[:_LONGEST_ID]


def id_at(address: str) -> str:
    """Return the id of the run at an address; empty if the address is not that of a run on a
    server."""
    _, there, run_id = own_address(address, WANDB).rpartition("/runs/")
    return run_id if there and re.fullmatch(r"[\w.-]+", run_id) else ""


def place_at(address: str) -> tuple[str, str] | None:
    """Return the entity and the project of the run at an address; None if the address is not that
    of a run on a server."""
    home, there, _ = own_address(address, WANDB).rpartition("/runs/")
    parts = home.split("/")
    return (unquote(parts[-2]), unquote(parts[-1])) if there and len(parts) > 4 else None  # 4: of https://HOST/…


def offline_id(address: str) -> str:
    """Return the id of the run in an offline folder; empty if the address is none.

    The client adds a number to the name of a folder that begins in the same second as another one
    of the run, so that the id is taken from the folder's file where it is there.
    """
    folder = Path(own_address(address, WANDB))
    found = re.fullmatch(r"offline-run-\d+_\d+-([\w.-]+)", folder.name)
    kept = next(folder.glob("run-*.wandb"), None) if found else None
    return kept.stem.removeprefix("run-") if kept is not None else found[1] if found else ""


def safe_name(text: str) -> str:
    """Return a text as the name of an artifact, a collection or an alias."""
    return re.sub(r"[^\w.-]", "-", text)


def model_name(study: StudyConfig) -> str:
    """Return the name of the artifact with the winner's model."""
    return f"{safe_name(study.study_name)}-model"


def model_aliases(study: StudyConfig) -> list[str]:
    """Return the aliases of the winner's model: `best`, and the name of the study.

    W&B gives `latest` and `v3` itself, so that a study of such a name has `study-v3`.
    """
    name = safe_name(study.study_name)
    return ["best", f"study-{name}" if re.fullmatch(r"latest|v\d+", name) else name]


def registry_path(study: StudyConfig, registry: str) -> str:
    """Return the path of the collection that `tracker.registry` names: `REGISTRY/COLLECTION`, or
    `REGISTRY` for a collection with the study's name."""
    name, _, collection = registry.partition("/")
    return f"wandb-registry-{name}/{collection or safe_name(study.study_name)}"
