"""The figure of a winner's calibration: reliability on validation and on test (DeGroot & Fienberg
1983), and the accuracy that abstaining brings."""

from __future__ import annotations

from sweep.analysis.calibration import Calibrated
from sweep.records.calibration import Reliability
from sweep.report.plot import BLUE, GREY, ORANGE, Figure, Key, Panel, Row, Spec, layer, number, tip, touchable, view

_BEFORE, _AFTER, _FIT = "before", "calibrated", "as it should be"
_WHOLE = [0, 1]


def calibration(found: Calibrated) -> Figure:
    """Return a panel for each split, and one for the accuracy by the share of rows answered."""
    pairs = {
        "Reliability on validation": (found.found.before, found.found.after),
        "Reliability on the test split": (found.found.test_before, found.found.test_after),
    }
    panels = [
        Panel(_reliability(title, before, after))
        for title, (before, after) in pairs.items()
        if before is not None and after is not None
    ]
    return Figure((*panels, *((Panel(_abstention(found)),) if found.curve else ())))


def _reliability(title: str, before: Reliability, after: Reliability) -> Spec:
    rows: list[Row] = [
        {"x": one.probability, "y": one.share, "what": what, "count": one.count}
        for what, found in ((_BEFORE, before), (_AFTER, after))
        for one in found.bins
    ]
    diagonal: list[Row] = [{"x": end, "y": end, "what": _FIT} for end in (0, 1)]
    colours = {_BEFORE: ORANGE, _AFTER: BLUE, _FIT: GREY}
    key = Key(colours, {_BEFORE: "diamond", _AFTER: "circle", _FIT: "stroke"}, {}, columns=3)
    x, y = number("x", "mean probability of a bin", domain=_WHOLE), number("y", "share that is true", domain=_WHOLE)
    tips = [tip("what", "scores"), tip("x", "probability", ".3f"), tip("y", "true", ".3f"), tip("count", "n", ",d")]
    line = {"type": "line", "strokeDash": [5, 4], "strokeWidth": 1.2}
    return view(title, rows, [
        layer(line, diagonal, x=x, y=y, color=key.colour()),
        layer({"type": "line"}, x=x, y=y, color=key.colour()),
        layer({"type": "point", "filled": True, "size": 50}, x=x, y=y, color=key.colour(), shape=key.shape()),
        touchable(tips, x, y),
    ])  # fmt: skip


def _abstention(found: Calibrated) -> Spec:
    rows: list[Row] = [{"x": coverage, "y": accuracy} for coverage, accuracy in found.curve]
    x, y = number("x", "share of test rows answered", domain=_WHOLE), number("y", "share of them that is right")
    tips = [tip("x", "answered", ".1%"), tip("y", "right", ".4f")]
    line = {"type": "line", "interpolate": "step-after", "color": BLUE}
    return view("Accuracy with abstention", rows, [layer(line, x=x, y=y), touchable(tips, x, y)])
