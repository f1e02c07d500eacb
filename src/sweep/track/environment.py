"""The environment variables of the W&B client: those that replace a missing config value, and
those without effect."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from sweep.config.schema import TrackerConfig
from sweep.config.secrets import scrub

PROJECT = "sweep"

# The client takes these words for true, as `transformers` does.
_TRUE = ("1", "true", "yes", "on")

_STUDY = "runs and their group are named after the study; type study.study_name=NAME"
_NO_EFFECT = {
    "WANDB_NAME": _STUDY,
    "WANDB_RUN_GROUP": _STUDY,
    "WANDB_DIR": "W&B's files are kept in the run directory; type run_dir=DIR",
    "WANDB_JOB_TYPE": "the job type says what a run is: trial, confirm, final, refit, study or compare",
    "WANDB_RUN_ID": "each trial is a run of its own",
    "WANDB_RESUME": "the same command goes on with a study; runs of lost trials are completed then",
    "WANDB_SWEEP_ID": "Optuna chooses the points, and W&B agents are not joined; type study.space=FILE",
    "WANDB_LOG_MODEL": "the winner's model becomes an artifact, and no other does",
    "WANDB_WATCH": "gradients are not logged",
}


def switched_off(environment: Mapping[str, str] = os.environ) -> str:
    """Return the setting of the environment that switches tracking off, such as
    `WANDB_DISABLED=true`; empty if none does."""
    if (value := environment.get("WANDB_DISABLED", "")).strip().lower() in _TRUE:
        return f"WANDB_DISABLED={value}"
    return ""


def resolved(tracker: TrackerConfig, environment: Mapping[str, str] = os.environ) -> TrackerConfig:
    """Return the config with the project, the entity and the tags of the environment where it
    names none."""
    tags = tuple(tag.strip() for tag in environment.get("WANDB_TAGS", "").split(",") if tag.strip())
    found = {
        "project": tracker.project or environment.get("WANDB_PROJECT") or PROJECT,
        "entity": tracker.entity or environment.get("WANDB_ENTITY") or None,
        "tags": tracker.tags or tags,
    }
    return tracker.model_copy(update=found)


def without_effect(
    tracker: TrackerConfig, environment: Mapping[str, str] = os.environ, *, chosen: str = ""
) -> Iterator[str]:
    """Yield a line for each variable that is set and does nothing here: what holds instead, and
    what to type.

    `chosen` says which choice of the user's keeps tracking on, such as `tracker.mode is online`;
    empty where none does.
    """
    for name, instead in _NO_EFFECT.items():
        if value := environment.get(name):
            yield f"note: {name}={scrub(value)} has no effect: {instead}"
    ours = {"WANDB_PROJECT": tracker.project, "WANDB_ENTITY": tracker.entity, "WANDB_TAGS": ",".join(tracker.tags)}
    for name, named in ours.items():
        value, key = environment.get(name), name.removeprefix("WANDB_").lower()
        if value and named and value != named:
            yield f"note: {name}={scrub(value)} has no effect: tracker.{key} is {scrub(named)}"
    if chosen:
        yield from _still_on(chosen, environment)


def _still_on(chosen: str, environment: Mapping[str, str]) -> Iterator[str]:
    off = switched_off(environment)
    if not off and environment.get("WANDB_MODE") == "disabled":
        off = "WANDB_MODE=disabled"
    if off:
        yield f"note: {off} has no effect: {chosen}; type tracker=none to track nothing"
