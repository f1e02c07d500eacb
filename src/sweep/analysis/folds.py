"""The folds of a trial: the score of each, and how far they lie apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sweep.analysis.facts import Facts, Point
from sweep.config.metrics import fold_metric, sd_metric
from sweep.records.trial import EvalPoint, Metrics


@dataclass(frozen=True, slots=True)
class Folds:
    """The scores of the best trial by fold, in the study's metric; `sd` is their standard
    deviation. `rows` are those of train and of validation of each fold."""

    scores: tuple[float, ...]
    mean: float
    sd: float
    rows: tuple[tuple[int, int], ...]


def folds(facts: Facts) -> Folds | None:
    """Return the folds of the winner, or of the best trial so far; None without folds."""
    best = facts.final.trial_best if facts.final else facts.best_eval(facts.winner) if facts.winner else None
    count = facts.config.dataset.folds
    if count is None or best is None:
        return None
    scores = tuple(best.metrics[fold_metric(facts.metric, fold)] for fold in range(1, count + 1))
    sd = best.metrics[sd_metric(facts.metric)]
    return Folds(scores, best.metrics[facts.metric], sd, tuple(facts.lock.data.division.folds))


def spread(metrics: Metrics, metric: str) -> float | None:
    """Return the standard deviation of a score over the folds; None without folds."""
    return metrics.get(sd_metric(metric))


def first_fold(evals: Sequence[EvalPoint], metric: str) -> tuple[Point, ...]:
    """Return the evaluations of the first fold, which the retraining repeats: of the study's
    metric, the only one that is recorded by fold."""
    return tuple(
        Point(replace(point, metrics={metric: point.metrics[fold_metric(metric, 1)]}), None) for point in evals
    )
