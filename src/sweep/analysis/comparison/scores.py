"""The recorded scores of all methods, beside baselines, and what fresh seeds gave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sweep.analysis.comparison.columns import Better, Column, known
from sweep.analysis.comparison.comparison import Comparison
from sweep.analysis.guessing import MAJORITY
from sweep.config.metrics import BY_TASK, known_direction, metric_names
from sweep.config.schema import Config

_SHOWN = {
    "single_label": ("f1_micro", "f1_macro", "accuracy"),
    "multi_label": ("f1_micro", "f1_macro", "subset_accuracy"),
}


@dataclass(frozen=True, slots=True)
class Baseline:
    """A row that is no method: a `method` at a threshold of 0.5 or before fine-tuning, or a
    `guess`."""

    kind: Literal["untuned", "before", "guess"]
    method: str
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Overview:
    """`columns` hold a value for each method, and `beside` one for each of `baselines`. `guess`
    names the classifier that always answers the same; `refitted` are the methods that were tested
    after a refit."""

    columns: tuple[Column, ...]
    baselines: tuple[Baseline, ...]
    guess: str
    any_tuned: bool
    refitted: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FreshSeeds:
    """The winning configuration of a method, trained again with `seeds` fresh seeds."""

    method: str
    seeds: int
    in_search: float | None
    mean: float | None
    interval: tuple[float, float] | None


def overview(comparison: Comparison) -> Overview:
    """Return train, validation and test scores of all methods."""
    found, baselines = comparison.methods, _baselines(comparison)
    minimised = [one.final.cost.train_loss for one in found]
    alike: Better = "lower" if _alike([_training_loss(one.config) for one in found]) else ""
    columns = [Column("train/loss", minimised, alike, beside=[None] * len(baselines))]
    for split in ("eval", "test"):
        for name in _names(comparison):
            key = f"{split}/{name}"
            values = [(one.validation if split == "eval" else one.final.test).get(key) for one in found]
            beside = [row.metrics.get(key) for row in baselines]
            columns.append(Column(key, values, _better(comparison, name), beside=beside))
    return Overview(
        columns=known(columns),
        baselines=baselines,
        guess=MAJORITY[comparison.task],
        any_tuned=any(one.final.untuned for one in found),
        refitted=tuple(one.name for one in found if one.final.refit),
    )


def fresh_seeds(comparison: Comparison) -> tuple[FreshSeeds, ...]:
    """Return what fresh seeds gave for each winner that was confirmed with some."""
    return tuple(
        FreshSeeds(one.name, len(candidate.scores), candidate.trial_score, candidate.mean, candidate.interval)
        for one in comparison.methods
        if one.final.confirmation
        for candidate in one.final.confirmation.candidates
        if candidate.number == one.final.number
    )


def _names(comparison: Comparison) -> tuple[str, ...]:
    extra = [
        name
        for one in comparison.methods
        for name in metric_names(one.lock.config)
        if name not in BY_TASK[comparison.task]
    ]
    return tuple(dict.fromkeys(["loss", *_SHOWN[comparison.task], *comparison.metrics, *extra]))


def _training_loss(config: Config) -> tuple[object, ...]:
    """Return what decides the loss that a method was trained with."""
    trainer = config.trainer
    own = tuple(getattr(trainer, name) for name in ("class_weights", "focal_gamma", "logit_adjustment_tau"))
    return (config.prompt, trainer.label_smoothing_factor, *own)


def _alike(values: Sequence[object]) -> bool:
    return all(value == values[0] for value in values)


def _better(comparison: Comparison, name: str) -> Better:
    """Return the direction of a metric; of the user's own only the objective's is known. Losses of
    label words compare with those of the same prompt alone."""
    if name == "loss" and not _alike([one.config.prompt for one in comparison.methods]):
        return ""
    objective, datasets = comparison.objective, [one.lock.config.dataset for one in comparison.methods]
    if objective.metric != f"eval/{name}" and any(known_direction(one, name) is None for one in datasets):
        return ""
    return "lower" if objective.lower(name) else "higher"


def _baselines(comparison: Comparison) -> tuple[Baseline, ...]:
    rows: list[Baseline] = []
    for one in comparison.methods:
        rows += [Baseline("untuned", one.name, one.final.untuned)] if one.final.untuned else []
        rows += [Baseline("before", one.name, one.final.before)] if one.final.before else []
    return (*rows, Baseline("guess", "", comparison.methods[0].final.baseline))
