"""What others published for the methods, beside what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sweep.config.schema import PublishedConfig
from sweep.report.comparison.comparison import Comparison
from sweep.report.comparison.contestants import Contestant
from sweep.report.markdown import bullets, escape, join, table
from sweep.report.units import MISSING, score, signed


def reported(comparison: Comparison) -> str:
    """Empty where no method has published figures."""
    known = [(one, one.config.published) for one in comparison.contestants if one.config.published]
    rows = [row for one, published in known for row in _rows(one, published)]
    if not rows:
        return ""
    sources = dict.fromkeys(f"{escape(published.source)}" for _, published in known if published.source)
    return join(
        [
            table(["method", "metric", "published", "measured", "difference"], rows),
            "Validation figures are those of the last evaluation, as published.",
            _refitted(known),
            bullets(sources),
        ]
    )


def _refitted(known: Sequence[tuple[Contestant, PublishedConfig]]) -> str:
    names = ", ".join(escape(one.name) for one, _ in known if one.final.refit)
    return f"The test figures of {names} are of a refit on train and validation rows." if names else ""


def _rows(one: Contestant, published: PublishedConfig) -> list[list[str]]:
    last = one.final.retrain_evals[-1].metrics if one.final.retrain_evals else one.validation
    figures = [(name, wanted, last.get(name)) for name, wanted in _validation(published).items()]
    figures += [(name, wanted, one.final.test.get(name)) for name, wanted in published.test.items()]
    if published.train.train_loss is not None:
        figures.append(("train/loss", published.train.train_loss, one.final.cost.train_loss))
    return [
        [escape(one.name), escape(name), score(wanted), score(measured), _gap(measured, wanted)]
        for name, wanted, measured in figures
    ]


def _validation(published: PublishedConfig) -> Mapping[str, float]:
    """Of the best trial, or of the only one."""
    best = 0 if len(published.trials) == 1 else published.best_trial
    return published.trials[best].eval if best is not None and best < len(published.trials) else {}


def _gap(measured: float | None, wanted: float) -> str:
    return MISSING if measured is None else signed(measured - wanted)
