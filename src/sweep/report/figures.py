"""The figures of a study's report, made of the numbers in `sweep.analysis.charts`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from sweep.analysis.charts import (
    Axis,
    Charts,
    Curve,
    Curves,
    Hyperparameters,
    Importance,
    Line,
    Panel,
    Search,
    TrialScore,
    Winner,
)
from sweep.analysis.pareto import ParetoSet
from sweep.config.objective import LOSS
from sweep.report import plot, units
from sweep.report.calibration import calibration
from sweep.report.confusion_figure import confusion
from sweep.report.plot import (
    BLACK,
    BLUE,
    CYCLE,
    DASHES,
    GREY,
    ORANGE,
    VERMILLION,
    Figure,
    Key,
    Row,
    Spec,
    layer,
    number,
    tip,
    touchable,
    view,
)

_OWN_COLOURS = 7  # trials up to which each curve has its own colour and entry in the legend
_COLOURS: Mapping[str, str] = {"completed": BLUE, "pruned": ORANGE, "failed": VERMILLION}
_SHAPES: Mapping[str, str] = {"completed": "circle", "pruned": "triangle-down", "failed": "square"}
_CROSS = "M-1,-1L1,1M1,-1L-1,1"
_RING: Spec = {"type": "point", "filled": False, "size": 190, "color": BLACK, "strokeWidth": 1.5}
_SILENT, _BEST = "ended without a score", "best so far"
_OTHERS = "other trials"
_KEPT, _DOMINATED = "in the Pareto set", "dominated"
_TRAINING, _RETRAINED = "training loss", ", retrained"


def figures(found: Charts) -> dict[str, Figure]:
    """Return every figure that there are numbers for, by its name."""
    numbers = ((name, make, getattr(found, name)) for name, make in FIGURES.items())
    return {name: make(values) for name, make, values in numbers if values is not None}


def search(found: Search) -> Figure:
    """Return the score of each trial in the order they ran, with the best so far."""
    scored = [_row(one, x=one.number) for one in found.scored]
    numbers = [one.number for one in found.scored] + list(found.silent)
    x = number("x", "trial", whole=True, domain=[min(numbers) - 0.5, max(numbers) + 0.5], nice=False)
    y, key = number("y", found.metric), _search_key(found)
    tips = (tip("trial", "trial"), tip("y", found.metric, ".4f"), tip("what", "ended"))
    colour, shape = key.colour(), key.shape()
    marks = [layer({"type": "point", "filled": True, "size": 60}, x=x, y=y, color=colour, shape=shape)]
    if found.best_so_far:
        steps: list[Row] = [{"x": at, "y": best, "what": _BEST} for at, best in found.best_so_far]
        line = {"type": "line", "interpolate": "step-after", "strokeWidth": 1.2}
        marks.insert(0, layer(line, steps, x=x, y=y, color=colour))
    if found.baseline is not None:
        rule = {"type": "rule", "strokeDash": [5, 4], "strokeWidth": 1.2}
        guess: Row = {"y": found.baseline, "what": found.guess}
        said = [tip("what", "guess"), tip("y", found.metric, ".4f")]
        marks.insert(0, layer(rule, [guess], y=y, color=colour, tooltip=said))
    if found.silent:
        lost: list[Row] = [{"x": at, "what": _SILENT, "trial": str(at)} for at in found.silent]
        cross = {"type": "point", "size": 60, "yOffset": -8, "strokeWidth": 2}
        said = [tip("trial", "trial"), tip("what", "ended")]
        marks.append(layer(cross, lost, x=x, y={"value": "height"}, color=colour, shape=shape, tooltip=said))
    return Figure((plot.Panel(view("Score of each trial", scored, [*marks, touchable(tips, x, y)])),))


def pareto(found: ParetoSet) -> Figure:
    """Return the first objective against the second one, the Pareto set joined by a line."""
    rows: list[Row] = [
        {"x": one.second, "y": one.first, "what": _KEPT if one.kept else _DOMINATED,
         "trial": _marked(one.number, one.mark)}
        for one in found.trials
    ]  # fmt: skip
    x, y = number("x", found.second), number("y", found.first)
    key = Key({_KEPT: BLUE, _DOMINATED: GREY}, {_KEPT: "circle", _DOMINATED: "triangle-down"}, {})
    line: list[Row] = [{"x": one.second, "y": one.first} for one in sorted(found.kept, key=lambda one: one.second)]
    tips = (
        tip("trial", "trial"),
        tip("x", found.second, ",.4~g"),
        tip("y", found.first, ".4f"),
        tip("what", "trial is"),
    )
    leading = [row for row, one in zip(rows, found.trials, strict=True) if one.leads]
    return Figure((plot.Panel(view("Two objectives", rows, [
        layer({"type": "line", "color": GREY, "strokeDash": [5, 4], "strokeWidth": 1.2}, line, x=x, y=y),
        layer({"type": "point", "filled": True, "size": 60}, x=x, y=y, color=key.colour(), shape=key.shape()),
        layer(_RING, leading, x=x, y=y),
        touchable(tips, x, y),
    ])),))  # fmt: skip


def curves(found: Curves) -> Figure:
    """Return every trial's course: the objective and, if it is another, the evaluation loss."""
    key = _curves_key(found.trials)
    ordered = sorted(found.trials, key=lambda trial: trial.leads)  # the leading trial is drawn last
    panels = []
    for name in found.metrics:
        rows = [_curve_row(trial, point, key) for trial in ordered for point in trial.lines[name]]
        panels.append(plot.Panel(view(name, rows, _lines("epoch", name, key))))
    return Figure(tuple(panels), columns=2)


def hyperparameters(found: Hyperparameters) -> Figure:
    """Return the score against each searched value, the best trial marked."""
    ended = [one.ended for panel in found.panels for one in panel.scored]
    panels = (_scatter(panel, found.metric, _ended_key(ended, shown=not at)) for at, panel in enumerate(found.panels))
    return Figure(tuple(plot.Panel(one) for one in panels))


def importance(found: Importance) -> Figure:
    """Return a bar for the importance of each searched key, the largest first."""
    rows: list[Row] = [{"key": name, "x": share} for name, share in found.shares]
    names = [name for name, _ in found.shares]
    y = {"field": "key", "type": "nominal", "sort": names, "title": None}
    axis = number("x", "share of the score's variation", zero=True) | {"axis": {"format": "%", "tickCount": 5}}
    tips = [tip("key", "hyperparameter"), tip("x", "importance", ".1%")]
    bars = layer({"type": "bar", "color": BLUE}, rows, x=axis, y=y, tooltip=tips)
    return Figure((plot.Panel({"title": f"Importance for {found.metric}", "height": {"step": 26}, **bars}),))


def winner(found: Winner) -> Figure:
    """Return the winning trial and its retraining: losses and the objective by step."""
    panels = []
    for title, name in {"Loss": LOSS, found.metric: found.metric}.items():
        lines = {_TRAINING: found.training_loss} if name == LOSS else {}
        lines |= {f"{name}, trial": found.trial[name], f"{name}{_RETRAINED}": found.retrained[name]}
        panels.append(plot.Panel(_pair(lines, title)))
    return Figure(tuple(panels), columns=2)


FIGURES: Mapping[str, Callable[[Any], Figure]] = {
    "search": search,
    "pareto": pareto,
    "curves": curves,
    "importance": importance,
    "hyperparameters": hyperparameters,
    "winner": winner,
    "confusion": confusion,
    "out_of_fold": partial(confusion, of="out of fold"),
    "calibration": calibration,
}


def _row(one: TrialScore, *, x: float | str) -> dict[str, str | float]:
    return {"x": x, "y": one.value, "what": one.ended, "trial": _marked(one.number, one.mark)}


def _marked(number: int, mark: str) -> str:
    """Return a trial's number with its mark, such as winner."""
    return f"{number} ({mark})" if mark else str(number)


def _search_key(found: Search) -> Key:
    key = _ended_key([one.ended for one in found.scored], shown=True)
    colours, shapes = dict(key.colours), dict(key.shapes)
    for wanted, name, colour, shape in (
        (found.silent, _SILENT, VERMILLION, _CROSS),
        (found.best_so_far, _BEST, BLACK, "stroke"),
        (found.baseline is not None, found.guess, GREY, "stroke"),
    ):
        if wanted:
            colours[name], shapes[name] = colour, shape
    return replace(key, colours=colours, shapes=shapes)


def _ended_key(ended: Sequence[str], *, shown: bool) -> Key:
    colours, shapes = ({name: one for name, one in known.items() if name in ended} for known in (_COLOURS, _SHAPES))
    return Key(colours, shapes, {}, columns=3, shown=shown)


def _curves_key(trials: Sequence[Curve]) -> Key:
    """Return own colours for a few trials, and for many grey ones behind the leading one."""
    if len(trials) > _OWN_COLOURS:
        leaders = [_curve_title(trial) for trial in trials if trial.leads]
        colours = {_OTHERS: GREY} | dict.fromkeys(leaders, BLUE)
        return Key(colours, {}, dict.fromkeys(colours, DASHES[0]))
    titles = [_curve_title(trial) for trial in trials]
    colours = {title: CYCLE[place % len(CYCLE)] for place, title in enumerate(titles)}
    dashes = {title: DASHES[0 if trials[place].leads else place % len(DASHES)] for place, title in enumerate(titles)}
    return Key(colours, {}, dashes)


def _curve_title(trial: Curve) -> str:
    title = f"trial {_marked(trial.number, trial.mark)}"
    return f"{title}, {units.state(trial.state)}" if trial.state else title


def _curve_row(trial: Curve, point: tuple[float, float], key: Key) -> Row:
    title = _curve_title(trial)
    what = title if title in key.colours else _OTHERS
    return {"x": point[0], "y": point[1], "what": what, "trial": title, "wide": 2.6 if trial.leads else 1.2}


def _lines(by: str, metric: str, key: Key) -> list[Spec]:
    """Return layers with a line and its points for each `trial` of the rows."""
    x, y = number("x", by), number("y", metric)
    tips = (tip("trial", "curve"), tip("x", by, ",.4~r"), tip("y", metric, ".4f"))
    each = {"field": "trial", "type": "nominal"}
    wide = {"field": "wide", "type": "quantitative", "scale": None}
    colour, dash = key.colour(), key.dash()
    line = layer({"type": "line"}, x=x, y=y, color=colour, strokeDash=dash, detail=each, strokeWidth=wide)
    points = layer({"type": "point", "filled": True, "size": 24}, x=x, y=y, color=colour)
    return [line, points, touchable(tips, x, y)]


def _scatter(panel: Panel, metric: str, key: Key) -> Spec:
    x, y = _searched_axis(panel.axis, panel.title), number("y", metric)
    rows = [
        _row(one, x=place) | {"value": _value(panel.axis, place)}
        for place, one in zip(panel.places, panel.scored, strict=True)
    ]
    tips = (tip("trial", "trial"), tip("value", panel.title), tip("y", metric, ".4f"), tip("what", "ended"))
    points = layer({"type": "point", "filled": True, "size": 50}, x=x, y=y, color=key.colour(), shape=key.shape())
    marked = [row for row, one in zip(rows, panel.scored, strict=True) if one.mark]
    return view(panel.title, rows, [points, layer(_RING, marked, x=x, y=y), touchable(tips, x, y)])


def _value(axis: Axis, place: float) -> str:
    return axis.names[int(place)] if axis.names else units.value(place)


def _searched_axis(axis: Axis, title: str) -> Spec:
    """Return an axis as wide as its range, with some room at both ends."""
    if axis.names:
        choices = {"field": "value", "type": "nominal", "title": None, "axis": {"labelAngle": 0, "labelLimit": 90}}
        return choices | {"scale": {"domain": list(axis.names)}}
    if axis.log and axis.low > 0:
        scale = {"type": "log", "domain": [axis.low / 1.2, axis.high * 1.2], "nice": False}
        powers = [
            10.0**power for power in range(math.ceil(math.log10(axis.low)), math.floor(math.log10(axis.high)) + 1)
        ]
        ticks = (
            {"values": powers, "format": "~g" if axis.low >= 1e-3 else ".0e"} if len(powers) > 1 else {"format": "~g"}
        )
        return {"field": "x", "type": "quantitative", "title": None, "scale": scale, "axis": ticks}
    room = 0.05 * (axis.high - axis.low) or 0.5
    found = number("x", title, whole=axis.whole, domain=[axis.low - room, axis.high + room], nice=False)
    return found | {"title": None}


def _pair(lines: Mapping[str, Line], metric: str) -> Spec:
    """Return a view with the lines of a trial, and hollow points for its retraining, which repeats
    it."""
    rows: list[Row] = [{"x": step, "y": value, "what": name} for name, line in lines.items() for step, value in line]
    again = {name for name in lines if name.endswith(_RETRAINED)}
    colours = {name: GREY if name == _TRAINING else ORANGE if name in again else BLUE for name in lines}
    shapes = {name: "diamond" if name in again else "stroke" if name == _TRAINING else "circle" for name in lines}
    key = Key(colours, shapes, {}, columns=1)
    x, y = number("x", "optimizer step", whole=True), number("y", metric)
    drawn = [row for row in rows if row["what"] not in again]
    dotted = [row for row in rows if row["what"] != _TRAINING]
    tips = (tip("what", "curve"), tip("x", "step", ",d"), tip("y", metric, ".4f"))
    return view(metric, rows, [
        layer({"type": "line"}, drawn, x=x, y=y, color=key.colour()),
        layer({"type": "point", "filled": False, "size": 60}, dotted, x=x, y=y, color=key.colour(), shape=key.shape()),
        touchable(tips, x, y),
    ])  # fmt: skip
