"""The figure of what was taken for what: one square matrix, or for multi-label a small one for
each label."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sweep.analysis.confusion import Confusion, Matrix
from sweep.report.canvas import canvas, label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NUMBERED = 24  # labels up to which every cell carries its count
_GLYPH = 0.62 / 72  # width of a letter in inches, for each point of its size
_COLUMNS = 5
_COLOURS = "Blues"


def confusion(found: Confusion) -> Figure:
    return _by_label(found.matrices) if found.multi_label else _square(found.matrices[0])


def _square(matrix: Matrix) -> Figure:
    """Return one matrix: rows are true labels, a cell's colour is its share of the row. Beyond 24
    labels only mistakes are numbered."""
    number = len(matrix.counts)
    cell, size = (0.4, 9.0) if number <= _NUMBERED else (0.155, 6.5)
    names = [label(name) for name in matrix.labels]
    figure, axes, bar = _frame(max(2.5, number * cell), margin=0.5 + max(map(len, names)) * size * _GLYPH)
    image = axes.imshow(matrix.shares, cmap=_COLOURS, vmin=0, vmax=1)
    axes.set_xticks(range(number), names, rotation=90, fontsize=size)
    axes.set_yticks(range(number), names, fontsize=size)
    axes.grid(visible=False)
    for row, (counts, shares) in enumerate(zip(matrix.counts, matrix.shares, strict=True)):
        for column, (count, share) in enumerate(zip(counts, shares, strict=True)):
            if count and (number <= _NUMBERED or row != column):
                axes.text(column, row, f"{count}", ha="center", va="center", color=_ink(share), fontsize=size - 1)
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


def _by_label(matrices: Sequence[Matrix]) -> Figure:
    columns = min(_COLUMNS, len(matrices))
    rows = math.ceil(len(matrices) / columns)
    figure = canvas(1.75 * columns + 0.3, 1.95 * rows + 0.3)
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes, matrix in zip(panels.flat, matrices, strict=False):
        _two_by_two(axes, matrix)
    for axes in list(panels.flat)[len(matrices) :]:
        axes.set_visible(False)
    figure.supxlabel("predicted")
    figure.supylabel("true")
    return figure


def _title(matrix: Matrix) -> str:
    """Return the label's name, with its threshold if it was tuned."""
    if matrix.threshold is None:
        return label(matrix.name, 24)
    return f"{label(matrix.name, 16)}, from {matrix.threshold:.2f}"


def _two_by_two(axes: Axes, matrix: Matrix) -> None:
    axes.imshow(matrix.shares, cmap=_COLOURS, vmin=0, vmax=1)
    axes.set_title(_title(matrix), fontsize=8.5, loc="center")
    axes.set_xticks([0, 1], matrix.labels, fontsize=8)
    axes.set_yticks([0, 1], matrix.labels, fontsize=8)
    axes.grid(visible=False)
    for row, (counts, shares) in enumerate(zip(matrix.counts, matrix.shares, strict=True)):
        for column, (count, share) in enumerate(zip(counts, shares, strict=True)):
            axes.text(column, row, f"{count:,}", ha="center", va="center", color=_ink(share), fontsize=8.5)


def _ink(share: float) -> str:
    return "white" if share > 0.55 else "black"
