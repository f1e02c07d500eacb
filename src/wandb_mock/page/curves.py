"""Curves of a run's rows as inline SVG pictures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from wandb_mock.page.markup import plain

Row = Mapping[str, Any]
Point = tuple[float, float]

# Names of the column that counts optimizer steps; `_step`, which counts rows, is the axis where a
# run has none of them.
_STEPS = ("train/global_step", "global_step")

# More points than this are no picture but a load on the browser.
_MOST_POINTS = 500


@dataclass(frozen=True, slots=True)
class _Frame:
    """A picture of `width` times `height` pixels, and the part of it that the curve fills."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float


_CHART = _Frame(320, 170, left=66, right=310, top=10, bottom=140)
_SPARK = _Frame(90, 22, left=3, right=87, top=3, bottom=19)


def metrics(rows: Iterable[Row]) -> list[str]:
    """Return the names of the logged values, less those that the client uses for itself."""
    return sorted({name for row in rows for name in row if not name.startswith("_")})


def charts(rows: Sequence[Row]) -> str:
    """Return a picture with axes for each metric that has a number."""
    axis = _axis(rows)
    drawn = [_chart(name, _points(rows, name, axis), axis) for name in metrics(rows) if name != axis]
    return f'<div class="charts">{"".join(drawn)}</div>'


def spark(rows: Sequence[Row], metric: str) -> str:
    """Return a small picture of one metric, without axes; empty where there is no number of it."""
    points = _points(rows, metric, _axis(rows))
    return _svg(_SPARK, _line(_SPARK, points), metric) if points else ""


def _axis(rows: Iterable[Row]) -> str:
    names = {name for row in rows for name in row}
    return next((name for name in _STEPS if name in names), "_step")


def _points(rows: Sequence[Row], metric: str, axis: str) -> list[Point]:
    found = [
        (x, y)
        for at, row in enumerate(rows)
        if (x := _finite(row.get(axis, at))) is not None and (y := _finite(row.get(metric))) is not None
    ]
    if len(found) <= _MOST_POINTS:
        return found
    return [found[at * (len(found) - 1) // (_MOST_POINTS - 1)] for at in range(_MOST_POINTS)]


def _finite(value: Any) -> float | None:
    """Return None for a value that has no place on an axis. JSON has integers that are larger
    than any float."""
    try:
        number = float(value) if isinstance(value, int | float) else math.nan
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _chart(metric: str, points: Sequence[Point], axis: str) -> str:
    if not points:
        return ""
    drawing = _svg(_CHART, _axes(points, axis) + _line(_CHART, points), metric)
    values = [y for _, y in points]
    caption = f"<b>{escape(metric)}</b>: {min(values):g} to {max(values):g}, last {values[-1]:g}"
    return f"<figure>{drawing}<figcaption>{caption}</figcaption></figure>"


def _svg(frame: _Frame, inside: str, title: str) -> str:
    size = f'width="{frame.width:g}" height="{frame.height:g}"'
    return f'<svg {size} role="img"><title>{escape(title)}</title>{inside}</svg>'


def _line(frame: _Frame, points: Sequence[Point]) -> str:
    """Return the curve, with a dot at each point where there are few."""
    across = _scaled([x for x, _ in points], frame.left, frame.right)
    up = _scaled([y for _, y in points], frame.bottom, frame.top)
    places = list(zip(across, up, strict=True))
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    shape = f'<polyline points="{line}"/>' if len(points) > 1 else ""
    dots = places if frame is _CHART and len(points) <= 30 else places[-1:]
    return shape + "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2"/>' for x, y in dots)


def _axes(points: Sequence[Point], axis: str) -> str:
    frame = _CHART
    xs, ys = [x for x, _ in points], [y for _, y in points]
    path = f"M{frame.left - 4:g},{frame.top:g} V{frame.bottom + 4:g} H{frame.right:g}"
    return (
        f'<path d="{path}"/>'
        + _text(frame.left - 8, frame.top + 4, "end", f"{max(ys):.3g}")
        + (_text(frame.left - 8, frame.bottom + 4, "end", f"{min(ys):.3g}") if min(ys) < max(ys) else "")
        + _text(frame.left, frame.bottom + 20, "start", plain(min(xs)))
        + _text((frame.left + frame.right) / 2, frame.bottom + 20, "middle", axis)
        + (_text(frame.right, frame.bottom + 20, "end", plain(max(xs))) if min(xs) < max(xs) else "")
    )


def _text(x: float, y: float, anchor: str, text: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'


def _scaled(values: Sequence[float], start: float, stop: float) -> list[float]:
    """Return `values` between `start` and `stop` pixels; in the middle where all are equal."""
    low, high = min(values), max(values)
    span = high - low
    if not math.isfinite(span):  # of two numbers at the ends of what a float holds
        return _scaled([value / 4 for value in values], start, stop)
    return [start + (stop - start) * ((value - low) / span if span else 0.5) for value in values]
