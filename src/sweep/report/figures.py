"""The report's figures: which there are, and what each shows."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from sweep.analysis.facts import Facts, Point
from sweep.analysis.tested import guess
from sweep.config.schema import Scalar
from sweep.records.trial import Completed, Failed, Pruned, TrialRecord
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

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HOLLOW = {"color": ORANGE, "marker": "D", "markersize": 8, "linestyle": "none", "markerfacecolor": "none"}
_OWN_COLOURS = 7  # trials up to which each curve has its own colour and label


def draw(facts: Facts, folder: Path) -> frozenset[str]:
    """Write every figure that the records allow as `folder`/NAME.png; returns the names.

    A figure of an earlier report that they no longer allow is removed.
    """
    import matplotlib

    folder.mkdir(parents=True, exist_ok=True)
    drawn = set()
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a label in a script that Matplotlib's font lacks
        for name, make in _FIGURES.items():
            path, figure = folder / f"{name}.png", make(facts)
            if figure is None:
                path.unlink(missing_ok=True)
                continue
            figure.savefig(path, dpi=DPI, metadata={"Software": None})
            drawn.add(name)
    return frozenset(drawn)


def search(facts: Facts) -> Figure | None:
    """Score of each trial in the order they ran, with the best so far."""
    scored = [(trial, value) for trial in facts.trials if _finite(value := facts.score(trial))]
    if not scored or facts.alone:
        return None
    figure = canvas(7.6, 3.6)
    axes = figure.add_subplot()
    for kind, (title, marker, colour) in _KINDS.items():
        group = [(trial.number, value) for trial, value in scored if isinstance(trial.outcome, kind)]
        if group:
            numbers, values = zip(*group, strict=True)
            axes.scatter(numbers, values, marker=marker, s=55, color=colour, label=title, zorder=3)
    silent = [trial.number for trial in facts.trials if not _finite(facts.score(trial))]
    if silent:
        ground = [0.02] * len(silent)
        axes.scatter(silent, ground, marker="x", s=55, color=VERMILLION, transform=axes.get_xaxis_transform(), zorder=3,
                     label="ended without a score", clip_on=False)  # fmt: skip
    _best_so_far(axes, facts, scored)
    _baseline(axes, facts)
    axes.set(title="Score of each trial", xlabel="trial", ylabel=facts.metric)
    axes.locator_params(axis="x", integer=True)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def curves(facts: Facts) -> Figure | None:
    """Draw the evaluations of every trial: the objective and, if it is another, the evaluation
    loss."""
    with_points = [trial for trial in facts.trials if facts.points[trial.number]]
    if not with_points or (facts.alone and facts.final):
        return None
    names = list(dict.fromkeys([facts.metric, "eval/loss"]))
    figure = canvas(8.6, 3.6)
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    for axes, name in zip(panels, names, strict=True):
        for place, trial in enumerate(with_points):
            _curve(axes, facts, trial, name=name, place=place, crowd=len(with_points) > _OWN_COLOURS)
        axes.set(title=name, xlabel="epoch")
        axes.locator_params(axis="x", integer=True)
    handles, labels = panels[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside right center")
    return figure


def hyperparameters(facts: Facts) -> Figure | None:
    """Draw the score against each searched value, the best trial marked."""
    scored = [(trial, value) for trial in facts.trials if _finite(value := facts.score(trial))]
    keys = [key for key in facts.searched if any(key in trial.params for trial, _ in scored)]
    if len(scored) < 2 or not keys:
        return None
    columns = min(3, len(keys))
    rows = math.ceil(len(keys) / columns)
    figure = canvas(2.9 * columns + 0.4, 2.6 * rows + 0.3)
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axes, key in zip(panels.flat, keys, strict=False):
        _scatter(axes, facts, key, [(trial, value) for trial, value in scored if key in trial.params])
    for axes in list(panels.flat)[len(keys) :]:
        axes.set_visible(False)
    for row in panels:
        row[0].set_ylabel(facts.metric)
    handles, labels = _legend(panels.flat)
    figure.legend(handles, labels, loc="outside upper right", ncols=len(labels))
    return figure


def winner(facts: Facts) -> Figure | None:
    """Draw the winning trial and its retraining: losses by step, and the objective beside
    guessing."""
    if facts.winner is None or not (points := facts.points[facts.winner.number]):
        return None
    number = facts.winner.number
    figure = canvas(8.6, 3.4)
    losses, scores = figure.subplots(1, 2)
    logged = [(row.step, row.metrics["train/loss"]) for row in facts.training[number] if "train/loss" in row.metrics]
    if logged:
        losses.plot(*zip(*logged, strict=True), color=GREY, linewidth=1.1, label="training loss")
    retrained = [Point(found, None) for found in facts.final.retrain_evals] if facts.final else []
    for axes, name, title in ((losses, "eval/loss", "Loss"), (scores, facts.metric, facts.metric)):
        _line(axes, points, name, x="step", style={"color": BLUE, "marker": "o", "label": f"{name}, trial"})
        _line(axes, retrained, name, x="step", style=_HOLLOW | {"label": f"{name}, retrained"})
        axes.set(title=title, xlabel="optimizer step")
        axes.legend()
    return figure


def confusions(facts: Facts) -> Figure | None:
    if facts.final is None or not facts.final.confusion:
        return None
    return confusion(facts.final, multi_label=facts.multi_label)


_FIGURES: Mapping[str, Callable[[Facts], Any]] = {
    "search": search,
    "curves": curves,
    "hyperparameters": hyperparameters,
    "winner": winner,
    "confusion": confusions,
}
_KINDS: Mapping[type, tuple[str, str, str]] = {
    Completed: ("completed", "o", BLUE),
    Pruned: ("pruned", "v", ORANGE),
    Failed: ("failed", "X", VERMILLION),
}


def _best_so_far(axes: Axes, facts: Facts, scored: Sequence[tuple[TrialRecord, float]]) -> None:
    best, steps = None, []
    for trial, value in scored:
        if isinstance(trial.outcome, Completed):
            best = value if best is None else max(best, value) if facts.maximize else min(best, value)
            steps.append((trial.number, best))
    if steps:
        steps.append((facts.trials[-1].number, steps[-1][1]))
        axes.step(*zip(*steps, strict=True), where="post", color=BLACK, linewidth=1.2, label="best so far", zorder=2)


def _baseline(axes: Axes, facts: Facts) -> None:
    rule = facts.final.baseline.get(facts.metric) if facts.final else None
    if rule is not None:
        axes.axhline(rule, color=GREY, linestyle="--", linewidth=1.2, label=guess(facts.config.dataset.task), zorder=1)


def _curve(axes: Axes, facts: Facts, trial: TrialRecord, *, name: str, place: int, crowd: bool) -> None:
    best, mark = trial is facts.winner, facts.mark(trial)
    title = f"trial {trial.number}" + (f" ({mark})" if mark else "")
    if not isinstance(trial.outcome, Completed):
        title += f", {trial.state.replace('_', ' ')}"
    if crowd:
        colour, title = (BLUE, title) if best else (GREY, "other trials" if place == _first_other(facts) else "_")
    else:
        colour = CYCLE[place % len(CYCLE)]
    style = {"color": colour, "label": title, "marker": "o", "markersize": 4, "zorder": 4 if best else 2}
    solid = crowd or best
    style |= {"linewidth": 2.6 if best else 1.2, "linestyle": "-" if solid else DASHES[place % len(DASHES)]}
    _line(axes, facts.points[trial.number], name, x="epoch", style=style)


def _first_other(facts: Facts) -> int:
    with_points = [trial for trial in facts.trials if facts.points[trial.number]]
    return next((place for place, trial in enumerate(with_points) if trial is not facts.winner), -1)


def _line(axes: Axes, points: Sequence[Point], name: str, *, x: str, style: Mapping[str, Any]) -> None:
    values = [(getattr(point.eval, x), value) for point in points if _finite(value := point.metric(name))]
    if values:
        axes.plot(*zip(*values, strict=True), **style)


def _scatter(axes: Axes, facts: Facts, key: str, scored: Sequence[tuple[TrialRecord, float]]) -> None:
    spec = facts.lock.space.get(key)
    spec = spec if isinstance(spec, Mapping) else {}
    values = [trial.params[key] for trial, _ in scored]
    listed = "choices" in spec or any(isinstance(value, bool) or not isinstance(value, int | float) for value in values)
    names = _names([*spec.get("choices", ()), *values]) if listed else []
    for kind, (title, marker, colour) in _KINDS.items():
        group = [(trial, value) for trial, value in scored if isinstance(trial.outcome, kind)]
        across: list[Any] = [names.index(str(trial.params[key])) if listed else trial.params[key] for trial, _ in group]
        if group:
            axes.scatter(
                across,
                [value for _, value in group],
                marker=marker,
                s=38,
                color=colour,
                label=title,
                zorder=3,
            )
        for place, (trial, value) in zip(across, group, strict=True):
            if trial is facts.winner:
                axes.scatter(
                    [place],
                    [value],
                    marker="o",
                    s=130,
                    facecolors="none",
                    edgecolors=BLACK,
                    label=facts.mark(trial),
                    zorder=4,
                )
    if listed:
        axes.set_xticks(range(len(names)), [label(name, 14) for name in names])
        axes.set_xlim(-0.5, len(names) - 0.5)
    else:
        _numeric_axis(axes, spec, [value for value in values if isinstance(value, int | float)])
    axes.set_xlabel(facts.title(key))


def _numeric_axis(axes: Axes, spec: Mapping[str, Any], values: Sequence[float]) -> None:
    """Set the limits to the searched range, or wider where a given configuration lay outside
    it."""
    low, high = min(spec.get("low", values[0]), *values), max(spec.get("high", values[0]), *values)
    if spec.get("log") and low > 0:
        axes.set_xscale("log")
        axes.set_xlim(low / 1.2, high * 1.2)
        return
    axes.locator_params(axis="x", nbins=5, integer=all(isinstance(value, int) for value in values))
    margin = 0.05 * (high - low) or 0.5
    axes.set_xlim(low - margin, high + margin)


def _names(values: Sequence[Scalar]) -> list[str]:
    return list(dict.fromkeys(map(str, values)))


def _legend(panels: Any) -> tuple[list[Any], list[str]]:
    found: dict[str, Any] = {}
    for axes in panels:
        for handle, title in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(title, handle)
    return list(found.values()), list(found)


def _finite(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)
