"""The figure of what was taken for what: one square matrix, or for multi-label a small one for
each label."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sweep.records.final import FinalRecord
from sweep.report.canvas import canvas, label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NUMBERED = 24  # labels up to which every cell carries its count
_GLYPH = 0.62 / 72  # width of a letter in inches, for each point of its size
_COLUMNS = 5
_COLOURS = "Blues"


def confusion(final: FinalRecord, *, multi_label: bool) -> Figure:
    return _by_label(final) if multi_label else _square(final)


def _square(final: FinalRecord) -> Figure:
    """Draw a square matrix. Rows are true labels; a cell's colour is its share of the row. Beyond
    24 labels only mistakes are numbered."""
    import numpy as np

    counts = np.asarray(final.confusion, dtype=float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    number = len(counts)
    cell, size = (0.4, 9.0) if number <= _NUMBERED else (0.155, 6.5)
    names = [label(name) for name in final.label_names]
    figure, axes, bar = _frame(max(2.5, number * cell), margin=0.5 + max(map(len, names)) * size * _GLYPH)
    image = axes.imshow(shares, cmap=_COLOURS, vmin=0, vmax=1)
    axes.set_xticks(range(number), names, rotation=90, fontsize=size)
    axes.set_yticks(range(number), names, fontsize=size)
    axes.grid(visible=False)
    for row, column in np.argwhere(counts > 0):
        if number <= _NUMBERED or row != column:
            ink = "white" if shares[row, column] > 0.55 else "black"
            text = f"{int(counts[row, column])}"
            axes.text(column, row, text, ha="center", va="center", color=ink, fontsize=size - 1)
    axes.set(title="Confusion on the test split", xlabel="predicted", ylabel="true")
    figure.colorbar(image, cax=bar, label="share of the true label's rows")
    return figure


def _frame(side: float, margin: float) -> tuple[Figure, Axes, Axes]:
    """Return a figure with a square of `side` inches, a `margin` at its left and bottom for names,
    and a colour bar.

    The axes are placed by hand: Matplotlib's layout engine would draw the hundreds of texts of a
    large matrix twice.
    """
    width, height = margin + side + 1.1, margin + side + 0.4
    figure = canvas(width, height, layout=None)
    axes = figure.add_axes((margin / width, margin / height, side / width, side / height))
    tall = min(side, 4.0)
    bar = figure.add_axes(((margin + side + 0.2) / width, (margin + side - tall) / height, 0.15 / width, tall / height))
    return figure, axes, bar


def _by_label(final: FinalRecord) -> Figure:
    columns = min(_COLUMNS, len(final.confusion))
    rows = math.ceil(len(final.confusion) / columns)
    figure = canvas(1.75 * columns + 0.3, 1.95 * rows + 0.3)
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes, title, (tn, fp, fn, tp) in zip(panels.flat, _titles(final), final.confusion, strict=False):
        _two_by_two(axes, title, [[tn, fp], [fn, tp]])
    for axes in list(panels.flat)[len(final.confusion) :]:
        axes.set_visible(False)
    figure.supxlabel("predicted")
    figure.supylabel("true")
    return figure


def _titles(final: FinalRecord) -> list[str]:
    """Return the label names, each with its threshold where they were tuned."""
    if final.thresholds is None or not final.untuned:
        return [label(name, 24) for name in final.label_names]
    pairs = zip(final.label_names, final.thresholds, strict=True)
    return [f"{label(name, 16)}, from {threshold:.2f}" for name, threshold in pairs]


def _two_by_two(axes: Axes, name: str, counts: list[list[int]]) -> None:
    shares = [[cell / max(sum(row), 1) for cell in row] for row in counts]
    axes.imshow(shares, cmap=_COLOURS, vmin=0, vmax=1)
    axes.set_title(name, fontsize=8.5, loc="center")
    axes.set_xticks([0, 1], ["no", "yes"], fontsize=8)
    axes.set_yticks([0, 1], ["no", "yes"], fontsize=8)
    axes.grid(visible=False)
    for row in range(2):
        for column in range(2):
            ink = "white" if shares[row][column] > 0.55 else "black"
            axes.text(column, row, f"{counts[row][column]:,}", ha="center", va="center", color=ink, fontsize=8.5)
