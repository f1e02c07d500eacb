"""The figures of a study's report, drawn from the numbers in `sweep.analysis.charts`."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.analysis.charts import Axis, Charts, Curve, Curves, Ended, Hyperparameters, Line, Panel, Search, Winner
from sweep.report.canvas import (
    BLACK,
    BLUE,
    CYCLE,
    DASHES,
    DPI,
    GREY,
    ORANGE,
    STYLE,
    VERMILLION,
    canvas,
    label,
)
from sweep.report.matrix import confusion
from sweep.report.units import state

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HOLLOW = {"color": ORANGE, "marker": "D", "markersize": 8, "linestyle": "none", "markerfacecolor": "none"}
_OWN_COLOURS = 7  # trials up to which each curve has its own colour and label


def draw(charts: Charts, folder: Path) -> frozenset[str]:
    """Write every figure that there are numbers for as `folder`/NAME.png; return the names.

    A figure of an earlier report that has no numbers now is removed.
    """
    import matplotlib

    folder.mkdir(parents=True, exist_ok=True)
    drawn = set()
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a label in a script that Matplotlib's font lacks
        for name, make in _FIGURES.items():
            path, numbers = folder / f"{name}.png", getattr(charts, name)
            if numbers is None:
                path.unlink(missing_ok=True)
                continue
            make(numbers).savefig(path, dpi=DPI, metadata={"Software": None})
            drawn.add(name)
    return frozenset(drawn)


def search(found: Search) -> Figure:
    """Return the score of each trial in the order they ran, with the best so far."""
    figure = canvas(7.6, 3.6)
    axes = figure.add_subplot()
    for ended, (marker, colour) in _MARKERS.items():
        group = [(one.number, one.value) for one in found.scored if one.ended == ended]
        if group:
            numbers, values = zip(*group, strict=True)
            axes.scatter(numbers, values, marker=marker, s=55, color=colour, label=ended, zorder=3)
    if found.silent:
        ground = [0.02] * len(found.silent)
        axes.scatter(found.silent, ground, marker="x", s=55, color=VERMILLION, transform=axes.get_xaxis_transform(),
                     zorder=3, label="ended without a score", clip_on=False)  # fmt: skip
    if found.best_so_far:
        steps = zip(*found.best_so_far, strict=True)
        axes.step(*steps, where="post", color=BLACK, linewidth=1.2, label="best so far", zorder=2)
    if found.baseline is not None:
        axes.axhline(found.baseline, color=GREY, linestyle="--", linewidth=1.2, label=found.guess, zorder=1)
    axes.set(title="Score of each trial", xlabel="trial", ylabel=found.metric)
    axes.locator_params(axis="x", integer=True)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def curves(found: Curves) -> Figure:
    """Return every trial's course: the objective and, if it is another, the evaluation loss."""
    figure = canvas(8.6, 3.6)
    panels = figure.subplots(1, len(found.metrics), squeeze=False)[0]
    styles = _curve_styles(found.trials)
    for axes, name in zip(panels, found.metrics, strict=True):
        for trial, style in zip(found.trials, styles, strict=True):
            _line(axes, trial.lines[name], style)
        axes.set(title=name, xlabel="epoch")
        axes.locator_params(axis="x", integer=True)
    handles, labels = panels[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside right center")
    return figure


def hyperparameters(found: Hyperparameters) -> Figure:
    """Return the score against each searched value, the best trial marked."""
    columns = min(3, len(found.panels))
    rows = math.ceil(len(found.panels) / columns)
    figure = canvas(2.9 * columns + 0.4, 2.6 * rows + 0.3)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axes, panel in zip(grid.flat, found.panels, strict=False):
        _scatter(axes, panel)
    for axes in list(grid.flat)[len(found.panels) :]:
        axes.set_visible(False)
    for row in grid:
        row[0].set_ylabel(found.metric)
    handles, labels = _legend(grid.flat)
    figure.legend(handles, labels, loc="outside upper right", ncols=len(labels))
    return figure


def winner(found: Winner) -> Figure:
    """Return the winning trial and its retraining: losses and the objective by step."""
    figure = canvas(8.6, 3.4)
    losses, scores = figure.subplots(1, 2)
    _line(losses, found.training_loss, {"color": GREY, "linewidth": 1.1, "label": "training loss"})
    for axes, name, title in ((losses, "eval/loss", "Loss"), (scores, found.metric, found.metric)):
        _line(axes, found.trial[name], {"color": BLUE, "marker": "o", "label": f"{name}, trial"})
        _line(axes, found.retrained[name], _HOLLOW | {"label": f"{name}, retrained"})
        axes.set(title=title, xlabel="optimizer step")
        axes.legend()
    return figure


_FIGURES: Mapping[str, Callable[[Any], Figure]] = {
    "search": search,
    "curves": curves,
    "hyperparameters": hyperparameters,
    "winner": winner,
    "confusion": confusion,
}
_MARKERS: Mapping[Ended, tuple[str, str]] = {
    "completed": ("o", BLUE),
    "pruned": ("v", ORANGE),
    "failed": ("X", VERMILLION),
}


def _curve_styles(trials: Sequence[Curve]) -> list[dict[str, Any]]:
    """Return a style for each trial: own colours for a few, grey beside the best one for many."""
    crowd = len(trials) > _OWN_COLOURS
    first_other = next((place for place, trial in enumerate(trials) if not trial.leads), -1)
    styles = []
    for place, trial in enumerate(trials):
        colour, title = CYCLE[place % len(CYCLE)], _curve_title(trial)
        if crowd:
            # Matplotlib leaves labels that begin with an underscore out of the legend.
            other = "other trials" if place == first_other else "_"
            colour, title = (BLUE, title) if trial.leads else (GREY, other)
        dashes = "-" if crowd or trial.leads else DASHES[place % len(DASHES)]
        style = {"color": colour, "label": title, "marker": "o", "markersize": 4, "zorder": 4 if trial.leads else 2}
        styles.append(style | {"linewidth": 2.6 if trial.leads else 1.2, "linestyle": dashes})
    return styles


def _curve_title(trial: Curve) -> str:
    title = f"trial {trial.number}" + (f" ({trial.mark})" if trial.mark else "")
    return f"{title}, {state(trial.state)}" if trial.state else title


def _line(axes: Axes, line: Line, style: Mapping[str, Any]) -> None:
    if line:
        axes.plot(*zip(*line, strict=True), **style)


def _scatter(axes: Axes, panel: Panel) -> None:
    for ended, (marker, colour) in _MARKERS.items():
        group = [(x, one) for x, one in zip(panel.places, panel.scored, strict=True) if one.ended == ended]
        if group:
            axes.scatter([x for x, _ in group], [one.value for _, one in group],
                         marker=marker, s=38, color=colour, label=ended, zorder=3)  # fmt: skip
        for x, one in group:
            if one.mark:
                axes.scatter([x], [one.value], marker="o", s=130, facecolors="none", edgecolors=BLACK,
                             label=one.mark, zorder=4)  # fmt: skip
    if panel.axis.names:
        axes.set_xticks(range(len(panel.axis.names)), [label(name, 14) for name in panel.axis.names])
        axes.set_xlim(-0.5, len(panel.axis.names) - 0.5)
    else:
        _numeric_axis(axes, panel.axis)
    axes.set_xlabel(panel.title)


def _numeric_axis(axes: Axes, axis: Axis) -> None:
    """Make the axis as wide as its range, with some room at both ends."""
    if axis.log and axis.low > 0:
        axes.set_xscale("log")
        axes.set_xlim(axis.low / 1.2, axis.high * 1.2)
        return
    axes.locator_params(axis="x", nbins=5, integer=axis.whole)
    room = 0.05 * (axis.high - axis.low) or 0.5
    axes.set_xlim(axis.low - room, axis.high + room)


def _legend(panels: Any) -> tuple[list[Any], list[str]]:
    found: dict[str, Any] = {}
    for axes in panels:
        for handle, title in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(title, handle)
    return list(found.values()), list(found)
