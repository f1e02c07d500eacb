"""Published figures beside measured ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sweep.analysis.comparison.comparison import Comparison
from sweep.analysis.comparison.methods import ComparedMethod
from sweep.config.published import PublishedConfig


@dataclass(frozen=True, slots=True)
class PublishedFigure:
    """`measured` is None where the run has no such value."""

    method: str
    metric: str
    published: float
    measured: float | None

    @property
    def difference(self) -> float | None:
        return None if self.measured is None else self.measured - self.published


@dataclass(frozen=True, slots=True)
class Published:
    """`sources` are named once each; `refitted` are the methods whose test figures are of a
    refit."""

    figures: tuple[PublishedFigure, ...]
    sources: tuple[str, ...]
    refitted: tuple[str, ...]


def published(comparison: Comparison) -> Published:
    """Return the figures of all methods that have published ones; validation figures are those of
    the last evaluation."""
    known = [(one, one.config.published) for one in comparison.methods if one.config.published]
    return Published(
        figures=tuple(figure for one, given in known for figure in _figures(one, given)),
        sources=tuple(dict.fromkeys(given.source for _, given in known if given.source)),
        refitted=tuple(one.name for one, _ in known if one.final.refit),
    )


def _figures(one: ComparedMethod, given: PublishedConfig) -> Iterator[PublishedFigure]:
    last = one.final.retrain_evals[-1].metrics if one.final.retrain_evals else one.validation
    for name, wanted in _validation(given).items():
        yield PublishedFigure(one.name, name, wanted, last.get(name))
    for name, wanted in given.test.items():
        yield PublishedFigure(one.name, name, wanted, one.final.test.get(name))
    if given.train.train_loss is not None:
        yield PublishedFigure(one.name, "train/loss", given.train.train_loss, one.final.cost.train_loss)


def _validation(given: PublishedConfig) -> Mapping[str, float]:
    """Return the figures of the best trial, or of the only one."""
    best = 0 if len(given.trials) == 1 else given.best_trial
    return given.trials[best].eval if best is not None and best < len(given.trials) else {}
