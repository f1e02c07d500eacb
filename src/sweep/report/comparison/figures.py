"""The figures of a comparison, made of the numbers in `sweep.analysis.comparison.charts`.

Methods differ in colour, dashes and markers, so that the figures can be read in black and white.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from sweep.analysis.comparison import charts
from sweep.analysis.comparison.charts import Charts, Pace, Pareto
from sweep.report.plot import (
    BLACK,
    CYCLE,
    DASHES,
    GREY,
    Figure,
    Key,
    Panel,
    Row,
    Spec,
    layer,
    number,
    tip,
    touchable,
    view,
)

_WIDE = 10  # times the least cost from which the axis is logarithmic
_MARKERS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "triangle-right", "triangle-left")
_AXES: Mapping[Pace, str] = {"epoch": "epoch", "step": "optimizer step"}
_INTERVAL = "95 % interval"


def figures(found: Charts, prefix: str) -> dict[str, Figure]:
    """Return every figure by its name, PREFIX-NAME."""
    return {f"{prefix}-{name}": make(found) for name, make in FIGURES.items()}


def curves(found: Charts) -> Figure:
    """Return the objective and the validation loss of each retraining."""
    panels = (_curves(found, panel, _key(found, shown=not place)) for place, panel in enumerate(found.curves))
    return Figure(tuple(map(Panel, panels)), columns=2)


def scores(found: Charts) -> Figure:
    """Return test scores with their 95 % intervals, metric by metric, the best method on top."""
    return Figure(tuple(Panel(_scores(found, name, bars)) for name, bars in found.scores.items()), columns=2)


def pareto(found: Charts) -> Figure:
    """Return quality against each cost, the Pareto set joined by a line."""
    panels = (_pareto(found, panel, _key(found, shown=not place)) for place, panel in enumerate(found.pareto))
    return Figure(tuple(map(Panel, panels)), columns=2)


FIGURES: Mapping[str, Callable[[Charts], Figure]] = {"scores": scores, "curves": curves, "pareto": pareto}


def _key(found: Charts, *, shown: bool) -> Key:
    places = dict(zip(found.names, range(len(found.names)), strict=True))
    return Key(
        colours={name: CYCLE[place % len(CYCLE)] for name, place in places.items()},
        shapes={name: _MARKERS[place % len(_MARKERS)] for name, place in places.items()},
        dashes={name: DASHES[place % len(DASHES)] for name, place in places.items()},
        shown=shown,
    )


def _curves(found: Charts, panel: charts.Curves, key: Key) -> Spec:
    rows: list[Row] = [
        {"x": at, "y": value, "what": found.names[one.place]} for one in panel.series for at, value in one.points
    ]
    best: list[Row] = [{"x": one.best[0], "y": one.best[1], "what": found.names[one.place]} for one in panel.series]
    x, y = number("x", _AXES[panel.by], whole=panel.by == "step"), number("y", panel.metric)
    tips = (tip("what", "method"), tip("x", _AXES[panel.by], ",.4~r"), tip("y", panel.metric, ".4f"))
    outlined = {"type": "point", "filled": True, "size": 110, "stroke": BLACK, "strokeWidth": 1.5}
    point = {"type": "point", "filled": True, "size": 34}
    return view(f"{panel.metric} by {panel.by}", rows, [
        layer({"type": "line"}, x=x, y=y, color=key.colour(), strokeDash=key.dash()),
        layer(point, x=x, y=y, color=key.colour(), shape=key.shape()),
        layer(outlined, best, x=x, y=y, color=key.colour(), shape=key.shape()),
        touchable(tips, x, y),
    ])  # fmt: skip


def _scores(found: Charts, metric: str, bars: Sequence[charts.Bar]) -> Spec:
    names = [found.names[bar.place] for bar in bars]
    rows: list[Row] = [_bar(found, bar) for bar in bars]
    x, key = number("value", f"with {_INTERVAL}"), _key(found, shown=False)
    y = {"field": "what", "type": "nominal", "sort": names, "title": None}
    tips = (tip("what", "method"), tip("value", metric, ".4f"), tip("interval", _INTERVAL))
    ends = {"field": "low"} | {name: part for name, part in x.items() if name != "field"}
    point = {"type": "point", "filled": True, "size": 80}
    layers = [
        layer({"type": "rule", "strokeWidth": 2}, x=ends, x2={"field": "high"}, y=y, color=key.colour()),
        layer(point, x=x, y=y, color=key.colour(), shape=key.shape()),
        touchable(tips, x, y),
    ]
    return view(f"test/{metric}", rows, layers) | {"height": {"step": 28}}


def _pareto(found: Charts, panel: Pareto, key: Key) -> Spec:
    rows = [_bar(found, spot.score) | {"cost": spot.cost, "kept": spot.kept} for spot in panel.spots]
    x, title = _cost_axis(panel), f"test/{found.main}, {_INTERVAL}"
    y = number("value", title)
    front = [{"cost": cost, "value": value} for cost, value in panel.front]
    step = {"type": "line", "interpolate": "step-after", "color": GREY, "strokeDash": [5, 4], "strokeWidth": 1.2}
    tips = (tip("what", "method"), tip("cost", panel.cost, ",.4~s"), tip("value", f"test/{found.main}", ".4f"),
            tip("interval", _INTERVAL), tip("kept", "in the Pareto set"))  # fmt: skip
    ends = {"field": "low"} | {name: part for name, part in y.items() if name != "field"}
    kept, others = ([row for row in rows if row["kept"] is wanted] for wanted in (True, False))
    point: Spec = {"type": "point", "size": 110, "opacity": 1}
    return view(f"against {panel.cost}", rows, [
        layer(step, front, x=x, y=y),
        layer({"type": "rule"}, x=x, y=ends, y2={"field": "high"}, color=key.colour()),
        layer(point | {"fill": "white"}, others, x=x, y=y, color=key.colour(), shape=key.shape()),
        layer(point | {"filled": True}, kept, x=x, y=y, color=key.colour(), shape=key.shape()),
        touchable(tips, x, y),
    ])  # fmt: skip


def _cost_axis(panel: Pareto) -> Spec:
    costs = [spot.cost for spot in panel.spots]
    wide = min(costs) > 0 and max(costs) > _WIDE * min(costs)
    scale = {"type": "log", "nice": False, "padding": 20} if wide else {"padding": 20, "nice": False}
    return number("cost", panel.cost, **scale) | {"axis": {"format": "~s", "tickCount": 4}}


def _bar(found: Charts, bar: charts.Bar) -> dict[str, str | float | bool]:
    interval = f"{bar.low:.4f} to {bar.high:.4f}"
    return {"what": found.names[bar.place], "value": bar.value, "low": bar.low, "high": bar.high, "interval": interval}
