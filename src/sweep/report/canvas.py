"""The common style of all figures: size, fonts, and the colours of Okabe and Ito (2008), which
colour-blind readers can tell apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from sweep.errors import shortened

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 120
BLACK, GREY = "#000000", "#9A9A9A"
BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#E69F00", "#009E73", "#CC79A7"
SKY, VERMILLION = "#56B4E9", "#D55E00"
CYCLE = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILLION, BLACK)
DASHES = ("-", "--", "-.", ":")
STYLE: Any = {
    "font.size": 9.5, "axes.titlesize": 10.5, "axes.titleweight": "bold", "axes.titlelocation": "left",
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": "#808080", "axes.axisbelow": True,
    "axes.grid": True, "grid.color": "#e4e4e4", "grid.linewidth": 0.7, "lines.linewidth": 1.8,
    "legend.frameon": False, "legend.fontsize": 8.5,
}  # fmt: skip


def canvas(width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> Figure:
    """Return an empty figure, sized in inches, without a window system or global state of
    Matplotlib."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout=layout)


def label(text: str, limit: int = 40) -> str:
    """Return a text as Matplotlib should print it: short, and with no dollar sign read as
    mathematics."""
    return shortened(text, limit).replace("$", r"\$")
