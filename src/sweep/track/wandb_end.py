"""The tables and the model that a W&B run gets at its end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import wandb

from sweep.config.schema import Config, Scalar
from sweep.track.tracker import Ending, trial_rows
from sweep.track.wandb_names import model_aliases, model_name, registry_path


def media_of(ending: Ending, config: Config) -> dict[str, Any]:
    """Return what is logged at the end of a run, by name: one call logs all of it."""
    found = {"trials": _table(trial_rows(ending.trials, config.study))} if ending.trials else {}
    return found | {name: _table(rows) for name, rows in ending.tables.items()}


def log_model(run: wandb.Run, folder: Path, config: Config) -> wandb.Artifact:
    """Log the model in a folder as an artifact of the study, and return the artifact."""
    artifact = wandb.Artifact(model_name(config.study), type="model")
    # Immutable and uncached, so that the client makes no second copy of the weights.
    artifact.add_dir(str(folder), policy="immutable", skip_cache=True)
    run.log_artifact(artifact, aliases=model_aliases(config.study))
    return artifact


def link_model(artifact: wandb.Artifact, config: Config) -> None:
    """Link a model that has arrived to the collection that `tracker.registry` names, if it names
    one."""
    if config.tracker.registry:
        artifact.link(registry_path(config.study, config.tracker.registry), aliases=model_aliases(config.study)[1:])


def _table(rows: Sequence[Mapping[str, Scalar]]) -> wandb.Table:
    columns: list[str | int] = list(dict.fromkeys(key for row in rows for key in row))
    data: list[Iterable[Any]] = [[row.get(str(column)) for column in columns] for row in rows]
    return wandb.Table(columns=columns, data=data, allow_mixed_types=True)
