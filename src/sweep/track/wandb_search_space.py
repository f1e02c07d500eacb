"""A study's searched keys in the words of W&B: where a run's config has them, and a sweep's
config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sweep.config.schema import StudyConfig
from sweep.config.secrets import scrub, scrub_typed


def config_path(key: str) -> str:
    """Return where the config of a run has the value of a searched key.

    A key such as `optimizer.learning_rate` is its own path. A choice of a config group, such as
    `adapter`, is under `params` alone.
    """
    return key if "." in key else f"params.{key}"


def score_of(study: StudyConfig) -> str:
    """Return the name of a trial's score, that of its best evaluation, in its run's summary."""
    return f"best/{study.metric}"


def sweep_config(study: StudyConfig, space: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config of a W&B sweep whose values Optuna chooses. `space` is that of a lock
    (`Space.plain`)."""
    return {
        "method": "custom",
        "name": scrub_typed(study.study_name),
        "description": f"Optuna chooses the values (sampler {study.sampler}, pruner {study.pruner}).",
        "metric": {"name": score_of(study), "goal": study.direction},
        "parameters": _nested({config_path(key): _parameter(domain) for key, domain in space.items()}),
    }


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters by path as W&B nests them: `{"optimizer": {"parameters": {…}}}`."""
    nested: dict[str, Any] = {}
    for path, parameter in flat.items():
        *groups, name = path.split(".")
        inside = nested
        for group in groups:
            inside = inside.setdefault(group, {"parameters": {}})["parameters"]
        inside[name] = parameter
    return nested


def _parameter(domain: Mapping[str, Any]) -> dict[str, Any]:
    """Return a range or choices as the parameter of a sweep."""
    if "choices" in domain:
        return {"values": [scrub(value) if isinstance(value, str) else value for value in domain["choices"]]}
    low, high, step = domain["low"], domain["high"], domain.get("step")
    whole = all(isinstance(value, int) for value in (low, high, step or 0))
    bounds = {"min": low, "max": high} if whole else {"min": float(low), "max": float(high)}
    if domain.get("log"):
        return {"distribution": "q_log_uniform_values", "q": 1, **bounds} if whole else {
            "distribution": "log_uniform_values", **bounds
        }  # fmt: skip
    if step:
        return {"distribution": "q_uniform", "q": step, **bounds}
    return {"distribution": "int_uniform" if whole else "uniform", **bounds}
