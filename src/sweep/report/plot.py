"""The parts that all figures are made of, as Vega-Lite (Satyanarayan et al. 2017) describes them.

A figure is a number of panels. A panel is one Vega-Lite view, from which both forms are made: the
static picture, and the chart with tooltips in a page. The colours are those of Okabe and Ito
(2008), which colour-blind readers can tell apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Spec = dict[str, Any]
Row = Mapping[str, str | float | int | bool]

BLACK, GREY = "#000000", "#8A8A8A"
BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#E69F00", "#009E73", "#CC79A7"
SKY, VERMILLION = "#56B4E9", "#D55E00"
CYCLE = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILLION, BLACK)
DASHES: tuple[list[int], ...] = ([1, 0], [6, 3], [6, 2, 1, 2], [2, 2])
HEIGHT = 230  # pixels of a panel's plot
NARROW = 360  # pixels of a static panel, so that a phone shows its letters in their full size
CONTAINER = "container"  # the width of a panel that fills its place
_TOUCH = "touch"
_TICKS = 8
_TOUCHED = 350  # square pixels around a point that show its tooltip, enough for a finger
_CONFIG: Spec = {
    "aria": False,  # a description of each mark would double the size of a page; its tables have the numbers
    "background": "white",
    "font": "Arial, Helvetica, sans-serif",
    "title": {"anchor": "start", "fontSize": 13, "fontWeight": "bold"},
    "axis": {
        "labelFontSize": 11, "titleFontSize": 12, "titleFontWeight": "normal", "gridColor": "#e4e4e4",
        "domainColor": "#808080", "tickColor": "#808080", "labelLimit": 150, "titleLimit": 300,
    },
    "legend": {
        "orient": "bottom", "labelFontSize": 11, "labelLimit": 150, "symbolLimit": 0, "columns": 2, "title": None,
        "symbolStrokeWidth": 2,
    },
    "view": {"stroke": None},
    "line": {"strokeWidth": 1.8}, "point": {"opacity": 1},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Panel:
    """One view. A `fluid` panel is as wide as its place; any other has the width that its spec
    names."""

    spec: Spec
    fluid: bool = True


@dataclass(frozen=True, slots=True)
class Figure:
    """Panels in reading order; `columns` of them stand side by side in the static form."""

    panels: tuple[Panel, ...]
    columns: int = 3


@dataclass(frozen=True, slots=True)
class Key:
    """A legend's entries by name, each with its colour, and a shape or dashes. `shown` is false
    for the panels of a figure whose first panel has the legend."""

    colours: Mapping[str, str]
    shapes: Mapping[str, str]
    dashes: Mapping[str, list[int]]
    columns: int = 2
    shown: bool = True

    def colour(self) -> Spec:
        """Return the encoding of the field `what` as a colour."""
        return self._encoding(list(self.colours), list(self.colours.values()))

    def shape(self) -> Spec:
        """Return the encoding of the field `what` as a shape."""
        return self._encoding(list(self.shapes), list(self.shapes.values()))

    def dash(self) -> Spec:
        """Return the encoding of the field `what` as dashes. Beside shapes, the legend shows those
        alone."""
        legend: Spec = {"legend": None} if self.shapes else {}
        return self._encoding(list(self.dashes), list(self.dashes.values())) | legend

    def _encoding(self, names: Sequence[str], values: Sequence[Any]) -> Spec:
        lines: Spec = {"symbolType": "stroke", "symbolSize": 250} if self.dashes and not self.shapes else {}
        legend = {"columns": self.columns, **lines} if self.shown else None
        return {"field": "what", "type": "nominal", "scale": {"domain": names, "range": values}, "legend": legend}


def complete(panel: Panel, *, width: int | str) -> Spec:
    """Return the whole Vega-Lite spec of a panel. A fluid one is `width` pixels wide in all, or
    with CONTAINER as wide as its place, and has tooltips."""
    size: Spec = {"width": width, "autosize": {"type": "fit-x", "contains": "padding"}} if panel.fluid else {}
    spec: Spec = {"$schema": "https://vega.github.io/schema/vega-lite/v6.json", "config": _CONFIG, **size, **panel.spec}
    if width != CONTAINER and "layer" in spec:
        spec["layer"] = [one for one in spec["layer"] if one.get("name") != _TOUCH]  # a picture has no tooltip
    return spec


def view(title: str, rows: Sequence[Row], layers: Sequence[Spec]) -> Spec:
    """Return a view of the layers, at the usual height. Layers without rows of their own draw
    these."""
    return {"title": title, "height": HEIGHT, "data": {"values": list(rows)}, "layer": list(layers)}


def layer(mark: Spec, rows: Sequence[Row] | None = None, **encoding: Any) -> Spec:
    """Return a layer that draws rows of its own, or those of its view, with a mark."""
    own: Spec = {} if rows is None else {"data": {"values": list(rows)}}
    return {**own, "mark": mark, "encoding": encoding}


def touchable(tips: Sequence[Spec], x: Spec, y: Spec) -> Spec:
    """Return an invisible layer that shows a tooltip near the point of each of the view's rows."""
    mark = {"type": "point", "filled": True, "shape": "circle", "size": _TOUCHED, "color": "transparent"}
    return {"name": _TOUCH, **layer(mark, x=x, y=y, tooltip=list(tips))}


def number(field: str, title: str, *, whole: bool = False, zero: bool = False, **scale: Any) -> Spec:
    """Return the encoding of a number by position. `whole` numbers have no ticks between them;
    `scale` are options of Vega-Lite's scale."""
    axis: Spec = {"tickMinStep": 1, "format": "d"} if whole else {}
    if whole and "domain" in scale:
        axis["values"] = _whole_ticks(*scale["domain"])
    room: Spec = {} if zero or "domain" in scale else {"padding": 8}
    return {
        "field": field, "type": "quantitative", "title": title, "scale": {"zero": zero, **room, **scale},
        "axis": {"tickCount": 5, **axis},
    }  # fmt: skip


def _whole_ticks(low: float, high: float) -> list[int]:
    """Return up to eight whole numbers at equal distances: Vega would put ticks between them."""
    first, last = math.ceil(low), math.floor(high)
    return list(range(first, last + 1, max(1, math.ceil((last - first + 1) / _TICKS))))


def tip(field: str, title: str, form: str | None = None) -> Spec:
    """Return a line of a tooltip: a text, or a number in a format of d3."""
    kind: Spec = {"type": "nominal"} if form is None else {"type": "quantitative", "format": form}
    return {"field": field, "title": title, **kind}
