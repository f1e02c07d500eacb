"""The learning that a trial's schedule lets it do, and the share of it until a step."""

from __future__ import annotations

from math import pi, sin

from sweep.config.names import ScheduleName

_FLAT: tuple[ScheduleName, ...] = ("constant", "constant_with_warmup", "reduce_lr_on_plateau", "greedy")


def progress(step: int, *, total: int, warmup: int, schedule: ScheduleName) -> float:
    """Return the sum of the learning rates up to `step` as a share of the sum over all steps.

    It is 0 at the start and 1 at the end. The rate rises linearly in the warmup. After it the rate
    is constant or follows half a cosine for the schedules of these names, and falls linearly to 0
    for all others.
    """
    return _area(step / total, warmup / total, schedule) / _area(1.0, warmup / total, schedule)


def rate_sum(rate: float, *, total: int, warmup: int, schedule: ScheduleName) -> float:
    """Return the sum of the learning rates over all steps, of which `rate` is the highest."""
    return rate * total * _area(1.0, warmup / total, schedule)


def _area(time: float, warmup: float, schedule: ScheduleName) -> float:
    """Return the integral of the rate from 0 to `time`, where the peak is 1. Times are shares."""
    if time <= warmup:
        return time * time / warmup / 2 if warmup else 0.0
    rest = 1 - warmup
    done = (time - warmup) / rest  # the share of the steps after the warmup
    match schedule:
        case name if name in _FLAT:
            after = done
        case "cosine":
            after = (done + sin(pi * done) / pi) / 2
        case _:
            after = done - done * done / 2
    return warmup / 2 + rest * after
