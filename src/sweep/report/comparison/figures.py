"""The comparison's figures, told apart by colour, dashes and markers: they are read in black and
white too."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.analysis.comparison.comparison import Comparison
from sweep.analysis.comparison.contestants import Contestant
from sweep.analysis.comparison.costs import COSTS, fronts
from sweep.config.metrics import better_when_lower
from sweep.report.canvas import BLACK, CYCLE, DASHES, DPI, GREY, STYLE, canvas, label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDE = 10  # times the least cost from which the axis is logarithmic
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


def draw(comparison: Comparison, folder: Path, prefix: str) -> tuple[str, ...]:
    """Write each figure as `folder`/PREFIX-NAME.png; returns the names with their prefix."""
    import matplotlib

    folder.mkdir(parents=True, exist_ok=True)
    names = []
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a name in a script that Matplotlib's font lacks
        for name, make in FIGURES.items():
            make(comparison).savefig(folder / f"{prefix}-{name}.png", dpi=DPI, metadata={"Software": None})
            names.append(f"{prefix}-{name}")
    return tuple(names)


def curves(comparison: Comparison) -> Figure:
    """Draw the objective of each retraining by epoch, and by step where epochs differ in steps,
    and its validation loss."""
    metric = comparison.objective.metric
    panels = [(name, "epoch", "epoch") for name in dict.fromkeys([metric, "eval/loss"])]
    if len(_paces(comparison)) > 1:  # else the same picture again
        panels.insert(1, (metric, "step", "optimizer step"))
    figure = canvas(max(8.0, 3.4 * len(panels)), 3.5)
    for axes, (name, x, title) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for place, one in enumerate(comparison.contestants):
            _curve(axes, one, name, x=x, style=_style(comparison, place), lower=_lower(comparison, name))
        axes.set(title=f"{name} by {x}", xlabel=title)
        axes.locator_params(axis="x", integer=True)
        axes.margins(x=0.04)
    _legend(figure, comparison)
    return figure


def scores(comparison: Comparison) -> Figure:
    """Draw test scores with their 95 % intervals, metric by metric."""
    ordered, metrics = comparison.ranked, comparison.metrics
    figure = canvas(1.6 + 2.8 * len(metrics), 1.3 + 0.38 * len(ordered))
    for axes, name in zip(figure.subplots(1, len(metrics), squeeze=False, sharey=True)[0], metrics, strict=True):
        for height, one in enumerate(reversed(ordered)):
            seen, (low, high) = comparison.resampled.seen[one.name][name], comparison.interval(one, name)
            style = _style(comparison, comparison.contestants.index(one))
            axes.plot([low, high], [height, height], color=style["color"], linewidth=2)
            axes.plot([seen], [height], color=style["color"], marker=style["marker"], markersize=7)
        axes.set_yticks(range(len(ordered)), [label(one.name, 28) for one in reversed(ordered)])
        axes.set(title=f"test/{name}", xlabel="with 95 % interval", ylim=(-0.6, len(ordered) - 0.4))
        axes.locator_params(axis="x", nbins=5)
    return figure


def pareto(comparison: Comparison) -> Figure:
    """Draw quality against each cost, the Pareto set joined by a line."""
    figure = canvas(4.3 * len(COSTS), 3.5)
    panels = figure.subplots(1, len(COSTS), squeeze=False, sharey=True)[0]
    for axes, (cost, of), kept in zip(panels, COSTS.items(), fronts(comparison).values(), strict=True):
        best = sorted((of(one), comparison.score(one)) for one in comparison.contestants if one.name in kept)
        axes.step(*zip(*best, strict=True), where="post", color=GREY, linestyle="--", linewidth=1.2, label="Pareto set")
        for place, one in enumerate(comparison.contestants):
            _point(axes, comparison, one, place=place, x=of(one), kept=one.name in kept)
        _cost_axis(axes, [of(one) for one in comparison.contestants])
        axes.set(title=f"against {cost}", xlabel=cost)
    panels[0].set_ylabel(f"test/{comparison.main}, 95 % interval")
    _legend(figure, comparison)
    return figure


FIGURES: Mapping[str, Callable[[Comparison], Figure]] = {"scores": scores, "curves": curves, "pareto": pareto}


def _paces(comparison: Comparison) -> set[int]:
    """Return the distinct numbers of steps an epoch."""
    points = (point for one in comparison.contestants for point in one.final.retrain_evals[-1:])
    return {round(point.step / point.epoch) for point in points if point.epoch > 0}


def _lower(comparison: Comparison, name: str) -> bool:
    """Return whether less of the metric is better: an objective of the user's own may be
    minimized."""
    objective = comparison.objective
    return not objective.maximize if name == objective.metric else better_when_lower(name)


def _curve(axes: Axes, one: Contestant, name: str, *, x: str, style: Mapping[str, Any], lower: bool) -> None:
    points = [(getattr(point, x), point.metrics[name]) for point in one.final.retrain_evals
              if math.isfinite(point.metrics.get(name, math.nan))]  # fmt: skip
    if not points:
        return
    axes.plot(*zip(*points, strict=True), **style, markevery=max(1, len(points) // 8), linewidth=1.6, markersize=5)
    best = (min if lower else max)(points, key=lambda point: point[1])
    axes.plot(*best, marker=style["marker"], color=style["color"], markersize=9, markeredgecolor=BLACK)


def _cost_axis(axes: Axes, costs: Sequence[float]) -> None:
    from matplotlib.ticker import EngFormatter, NullFormatter

    if min(costs) > 0 and max(costs) > _WIDE * min(costs):
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
    axes.margins(0.12)


def _point(axes: Axes, comparison: Comparison, one: Contestant, *, place: int, x: float, kept: bool) -> None:
    style, y = _style(comparison, place), comparison.score(one)
    low, high = comparison.interval(one, comparison.main)
    axes.plot([x, x], [low, high], color=style["color"], linewidth=1)
    face = style["color"] if kept else "white"
    axes.plot(x, y, marker=style["marker"], color=style["color"], markerfacecolor=face, markersize=9, linestyle="none")


def _style(comparison: Comparison, place: int) -> dict[str, Any]:
    return {
        "color": CYCLE[place % len(CYCLE)],
        "marker": _MARKERS[place % len(_MARKERS)],
        "linestyle": DASHES[place % len(DASHES)],
        "label": label(comparison.contestants[place].name),
    }


def _legend(figure: Figure, comparison: Comparison) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], **_style(comparison, place)) for place in range(len(comparison.contestants))]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)))
