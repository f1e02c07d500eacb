"""The figure of a confusion matrix: one square matrix, or for multi-label a small one for each
label."""

from __future__ import annotations

from sweep.analysis.confusion import Confusion, Matrix
from sweep.errors import shortened
from sweep.report.plot import Figure, Panel, Row, Spec, layer, tip

_NUMBERED = 24  # labels up to which every cell carries its count
_COLUMNS = 4
_DARK = 0.55  # share from which a cell is so dark that its number is white


def confusion(found: Confusion, *, of: str = "on the test split") -> Figure:
    """Return one square matrix, or small ones in rows for a multi-label task. `of` says which rows
    are counted."""
    if found.multi_label:
        return Figure(tuple(Panel(_two_by_two(matrix), fluid=False) for matrix in found.matrices), _COLUMNS)
    return Figure((Panel(_square(found.matrices[0], of), fluid=False),))


def _square(matrix: Matrix, of: str) -> Spec:
    """Return one matrix: rows are true labels, a cell's colour is its share of the row. Beyond 24
    labels only mistakes are numbered."""
    few = len(matrix.counts) <= _NUMBERED
    cell, size = (34, 11) if few else (17, 10)
    legend = {"title": "share of the true label's rows", "format": "%", "tickCount": 4, "gradientLength": 160}
    rows = _rows(matrix)
    numbered = [row for row in rows if row["count"] and (few or row["true"] != row["predicted"])]
    return _grid(matrix, rows, numbered, cell=cell, size=size, legend=legend) | {"title": f"Confusion {of}"}


def _two_by_two(matrix: Matrix) -> Spec:
    rows = _rows(matrix)
    title = {"text": _title(matrix), "fontSize": 12, "limit": 170, "frame": "bounds"}
    return _grid(matrix, rows, rows, cell=56, size=12, legend=None) | {"title": title}


def _title(matrix: Matrix) -> str:
    """Return the label's name, with its threshold if it was tuned."""
    if matrix.threshold is None:
        return shortened(matrix.name, 24)
    return f"{shortened(matrix.name, 16)}, from {matrix.threshold:.2f}"


def _rows(matrix: Matrix) -> list[Row]:
    """Return a row for each cell."""
    return [
        {"true": true, "predicted": predicted, "count": count, "share": share, "dark": share > _DARK}
        for true, counts, shares in zip(matrix.labels, matrix.counts, matrix.shares, strict=True)
        for predicted, count, share in zip(matrix.labels, counts, shares, strict=True)
    ]


def _grid(matrix: Matrix, rows: list[Row], numbered: list[Row], *, cell: int, size: int, legend: Spec | None) -> Spec:
    """Return cells of `cell` pixels whose letters are `size` pixels high."""
    labels = list(matrix.labels)
    x, y = (
        {"field": side, "type": "nominal", "sort": labels, "title": side,
         "axis": {"labelFontSize": size, "labelAngle": angle, "ticks": False, "domain": False}}
        for side, angle in (("predicted", -90 if legend else 0), ("true", 0))
    )  # fmt: skip
    scale = {"domain": [0, 1], "scheme": "blues"}
    colour = {"field": "share", "type": "quantitative", "scale": scale, "legend": legend}
    ink = {"condition": {"test": "datum.dark", "value": "white"}, "value": "black"}
    tips = [
        tip("true", "true"),
        tip("predicted", "predicted"),
        tip("count", "rows", ",d"),
        tip("share", "share", ".1%"),
    ]
    count = {"field": "count", "type": "quantitative", "format": ",d"}
    return {
        "width": {"step": cell}, "height": {"step": cell},
        "layer": [
            layer({"type": "rect"}, rows, x=x, y=y, color=colour, tooltip=tips),
            layer({"type": "text", "fontSize": size}, numbered, x=x, y=y, color=ink, text=count, tooltip=tips),
        ],
    }  # fmt: skip
