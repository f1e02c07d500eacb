"""The text of numbers: scores, counts, times, sizes and searched values."""

from __future__ import annotations

import math
from collections.abc import Mapping

from sweep.config.batch import EFFECTIVE, PER_DEVICE, SPLIT
from sweep.config.schema import Scalar

MISSING = "–"
_SIZES = ("B", "KiB", "MiB", "GiB", "TiB")


def score(value: float | None, digits: int = 4) -> str:
    return MISSING if value is None else f"{value:.{digits}f}"


def objective(value: float) -> str:
    """Return the value of an objective: four decimals of a score, four digits of a cost."""
    return score(value) if abs(value) < 100 else f"{value:,.0f}" if abs(value) < 1e7 else f"{value:.3e}"


def signed(value: float | None, digits: int = 4) -> str:
    """Return the number with its sign; a difference that rounds to zero but is not zero shows its
    magnitude."""
    if value is None:
        return MISSING
    if value == 0:
        return "0"
    return f"{value:+.1e}" if abs(value) < 0.5 * 10**-digits else f"{value:+.{digits}f}"


def share(part: float, whole: float) -> str:
    if not whole:
        return MISSING
    percent = 100 * part / whole
    return f"{percent:.2f} %" if 0 < abs(percent) < 10 else f"{percent:.1f} %"


def decimals(value: float | None, digits: int = 3) -> str:
    """Return the number with a comma between thousands."""
    return MISSING if value is None else f"{value:,.{digits}f}"


def reported(value: float) -> str:
    """Return a published score with all of its digits, and at least as many as a measured one is
    shown with."""
    return score(value, max(4, len(str(value).partition(".")[2])))


def p_value(value: float | None) -> str:
    if value is None:
        return MISSING
    return f"{value:.3f}" if value >= 0.001 else "below 0.001"


def epoch(value: float) -> str:
    return f"{value:.4g}"


def state(name: str) -> str:
    """Return how a trial ended, in words."""
    return name.replace("_", " ")


def count(value: float | None) -> str:
    return MISSING if value is None else f"{round(value):,}"


def plural(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def seconds(value: float | None) -> str:
    if value is None:
        return MISSING
    if value < 120:
        return f"{value:.2f} s"
    return f"{value:,.0f} s ({_clock(value)})"


def rate(value: float | None) -> str:
    return MISSING if value is None else f"{value:,.2f}"


def size(octets: float) -> str:
    if not octets:
        return MISSING
    power = min(int(math.log(octets, 1024)), len(_SIZES) - 1)
    return f"{octets / 1024**power:,.2f} {_SIZES[power]}"


def flops(value: float | None) -> str:
    return f"{value:.4g}" if value else MISSING


def value(searched: Scalar) -> str:
    """Return the value as a user would type it on a command line, floats to five significant
    digits."""
    if searched is None:
        return "null"
    if isinstance(searched, bool):
        return str(searched).lower()
    return f"{searched:.5g}" if isinstance(searched, float) else str(searched)


def searched_value(params: Mapping[str, Scalar], used: Mapping[str, Scalar], key: str) -> str:
    """Return the value that was asked for, and the value that the trial used where they differ; of
    an effective batch size its split."""
    if key == EFFECTIVE and PER_DEVICE in used:
        return f"{value(params[key])} ({' × '.join(value(used[part]) for part in SPLIT)})"
    return value(params[key]) + (f" ({value(used[key])} used)" if key in used else "")


def _clock(value: float) -> str:
    minutes = round(value / 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"
