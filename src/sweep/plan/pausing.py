"""Advice on a pruner that pauses trials: which ones cannot be paused, and which samplers learn
nothing from paused ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sweep.config.optimizers import OPTIMIZERS
from sweep.config.schema import Config, StudyConfig
from sweep.config.settings import TrainSettings
from sweep.config.space import Space
from sweep.search.pruners import never_stopped, promotes, trials_of_each
from sweep.search.racing_budget import racing_budget

# Validation rows that scores need for trials to be paused soon after their beginnings. On fewer,
# the first evaluations say nothing about the last ones (`benchmarks/five_knobs.py`).
LEAST_SCORED = 500
_OF_PAUSING = ("budget", "opening")  # options of racing
_FROM_COMPLETED = ("gp", "cmaes")  # samplers that ignore pruned trials


def pauses(study: StudyConfig, scored: int) -> bool:
    """Return whether the study's pruner pauses trials that are scored on so many rows. On few of
    them racing stops trials for good, later, unless the user set an option of its pauses."""
    wanted = scored >= LEAST_SCORED or any(option in study.pruner_options for option in _OF_PAUSING)
    return promotes(study) and wanted


def unpausable(config: Config) -> str:
    """Return the reason why a trial cannot be paused; empty where it can be."""
    if config.study.snapshots == "never":
        return "study.snapshots is never"
    if TrainSettings.of(config).snapshot_every is None:
        return f"adapter.method {config.adapter.method} has no snapshots with study.snapshots=auto"
    if config.adapter.trains == "everything" and config.launcher.name != "inline":
        return f"with launcher={config.launcher.name} snapshots of all weights stay on their worker"
    name = config.optimizer.name
    return f"optimizer.name {name} has no snapshots" if OPTIMIZERS[name].unsaved else ""


def trained_part(corners: Sequence[Config], space: Space, scored: int) -> float:
    """Return the part of the training of all trials that a pruner which pauses them allows; 1
    where none is paused."""
    study = corners[0].study
    if not _some_paused(corners, space, scored):
        return 1.0
    most = trials_of_each(study, space)
    return max(racing_budget(study), never_stopped(study, most) / most)


def _some_paused(corners: Sequence[Config], space: Space, scored: int) -> bool:
    study = corners[0].study
    most = trials_of_each(study, space)
    return pauses(study, scored) and most > never_stopped(study, most) and not all(map(unpausable, corners))


def learns_too_late(corners: Sequence[Config], space: Space, scored: int) -> Iterator[str]:
    """Yield a note where the sampler learns from completed trials alone, and the pruner completes
    none before all points were asked for."""
    study = corners[0].study
    if _some_paused(corners, space, scored) and study.sampler in _FROM_COMPLETED:
        yield (
            f"study.sampler={study.sampler} learns from completed trials alone, and study.pruner={study.pruner} pauses all "
            "trials before it completes any: points are drawn at random; type study.sampler=tpe or study.pruner=none"
        )


def stopped_for_good(corners: Sequence[Config], space: Space, scored: int) -> Iterator[str]:
    """Yield a note for each reason why trials are stopped for good where others are paused."""
    study = corners[0].study
    most = trials_of_each(study, space)
    if study.second is not None and study.pruner == "racing":
        yield from _idle_options(study)
    if not pauses(study, scored) or most <= never_stopped(study, most):
        return
    reasons = [unpausable(corner) for corner in corners]
    some = "" if all(reasons) else "some of its "
    for reason in dict.fromkeys(filter(None, reasons)):
        yield (
            f"study.pruner={study.pruner} pauses trials and may let them go on later, but {reason}: "
            f"{some}trials that fall behind are stopped for good"
        )


def _idle_options(study: StudyConfig) -> Iterator[str]:
    if given := [f"study.pruner_options.{option}" for option in _OF_PAUSING if option in study.pruner_options]:
        yield (
            f"{' and '.join(given)} {'has' if len(given) == 1 else 'have'} no effect: with two objectives "
            "study.pruner=racing pauses no trial; it stops those that are behind, by "
            "study.pruner_options.finalists, reduction_factor and min_resource"
        )
