"""The figures of a comparison, drawn from the numbers in `sweep.analysis.comparison.charts`.

Methods differ in colour, dashes and markers, so that the figures can be read in black and white.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.analysis.comparison.charts import Charts, Pace, Series, Spot
from sweep.report.canvas import BLACK, CYCLE, DASHES, DPI, GREY, STYLE, canvas, label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDE = 10  # times the least cost from which the axis is logarithmic
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_AXES: Mapping[Pace, str] = {"epoch": "epoch", "step": "optimizer step"}


def draw(found: Charts, folder: Path, prefix: str) -> tuple[str, ...]:
    """Write each figure as `folder`/PREFIX-NAME.png; return the names with their prefix."""
    import matplotlib

    folder.mkdir(parents=True, exist_ok=True)
    names = []
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a name in a script that Matplotlib's font lacks
        for name, make in FIGURES.items():
            make(found).savefig(folder / f"{prefix}-{name}.png", dpi=DPI, metadata={"Software": None})
            names.append(f"{prefix}-{name}")
    return tuple(names)


def curves(found: Charts) -> Figure:
    """Return the objective and the validation loss of each retraining."""
    figure = canvas(max(8.0, 3.4 * len(found.curves)), 3.5)
    panels = figure.subplots(1, len(found.curves), squeeze=False)[0]
    for axes, panel in zip(panels, found.curves, strict=True):
        for one in panel.series:
            _curve(axes, one, _style(found, one.place))
        axes.set(title=f"{panel.metric} by {panel.by}", xlabel=_AXES[panel.by])
        axes.locator_params(axis="x", integer=True)
        axes.margins(x=0.04)
    _legend(figure, found)
    return figure


def scores(found: Charts) -> Figure:
    """Return test scores with their 95 % intervals, metric by metric, the best method on top."""
    number = len(found.names)
    figure = canvas(1.6 + 2.8 * len(found.scores), 1.3 + 0.38 * number)
    panels = figure.subplots(1, len(found.scores), squeeze=False, sharey=True)[0]
    for axes, (name, bars) in zip(panels, found.scores.items(), strict=True):
        for height, bar in enumerate(reversed(bars)):
            style = _style(found, bar.place)
            axes.plot([bar.low, bar.high], [height, height], color=style["color"], linewidth=2)
            axes.plot([bar.value], [height], color=style["color"], marker=style["marker"], markersize=7)
        axes.set_yticks(range(number), [label(found.names[bar.place], 28) for bar in reversed(bars)])
        axes.set(title=f"test/{name}", xlabel="with 95 % interval", ylim=(-0.6, number - 0.4))
        axes.locator_params(axis="x", nbins=5)
    return figure


def pareto(found: Charts) -> Figure:
    """Return quality against each cost, the Pareto set joined by a line."""
    figure = canvas(4.3 * len(found.pareto), 3.5)
    panels = figure.subplots(1, len(found.pareto), squeeze=False, sharey=True)[0]
    for axes, panel in zip(panels, found.pareto, strict=True):
        front = zip(*panel.front, strict=True)
        axes.step(*front, where="post", color=GREY, linestyle="--", linewidth=1.2, label="Pareto set")
        for spot in panel.spots:
            _spot(axes, spot, _style(found, spot.score.place))
        _cost_axis(axes, [spot.cost for spot in panel.spots])
        axes.set(title=f"against {panel.cost}", xlabel=panel.cost)
    panels[0].set_ylabel(f"test/{found.main}, 95 % interval")
    _legend(figure, found)
    return figure


FIGURES: Mapping[str, Callable[[Charts], Figure]] = {"scores": scores, "curves": curves, "pareto": pareto}


def _curve(axes: Axes, one: Series, style: Mapping[str, Any]) -> None:
    every = max(1, len(one.points) // 8)
    axes.plot(*zip(*one.points, strict=True), **style, markevery=every, linewidth=1.6, markersize=5)
    axes.plot(*one.best, marker=style["marker"], color=style["color"], markersize=9, markeredgecolor=BLACK)


def _cost_axis(axes: Axes, costs: Sequence[float]) -> None:
    from matplotlib.ticker import EngFormatter, NullFormatter

    if min(costs) > 0 and max(costs) > _WIDE * min(costs):
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
    axes.margins(0.12)


def _spot(axes: Axes, spot: Spot, style: Mapping[str, Any]) -> None:
    x, score = spot.cost, spot.score
    axes.plot([x, x], [score.low, score.high], color=style["color"], linewidth=1)
    face = style["color"] if spot.kept else "white"
    axes.plot(x, score.value, marker=style["marker"], color=style["color"], markerfacecolor=face, markersize=9,
              linestyle="none")  # fmt: skip


def _style(found: Charts, place: int) -> dict[str, Any]:
    return {
        "color": CYCLE[place % len(CYCLE)],
        "marker": _MARKERS[place % len(_MARKERS)],
        "linestyle": DASHES[place % len(DASHES)],
        "label": label(found.names[place]),
    }


def _legend(figure: Figure, found: Charts) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], **_style(found, place)) for place in range(len(found.names))]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)))
