"""The error of a score that was measured on few rows."""

from __future__ import annotations

import math


def standard_error(share: float, rows: int) -> float:
    """Return the standard error of a proportion, as if two more rows had been right and two wrong
    (Agresti and Coull, 1998). It is above 0 even where no row was wrong; NaN without a row."""
    if rows <= 0:
        return math.nan
    likely = (share * rows + 2) / (rows + 4)
    return math.sqrt(likely * (1 - likely) / (rows + 4))
