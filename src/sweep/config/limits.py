"""The upper limits of `study.limits`: their names, and which of them a trial breaks.

Names are those of the records with a point in place of the first slash: `parameters.trained`,
`cost.peak_device_bytes`, `predict.latency_ms`, `eval.loss`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from sweep.config.measured import limit_name

TRAINED, TOTAL = "parameters.trained", "parameters.total"
LATENCY = "predict.latency_ms"
DEVICE_BYTES, HOST_BYTES = "cost.peak_device_bytes", "cost.peak_host_bytes"
SECONDS, DEVICE_HOURS = "cost.seconds", "cost.device_hours"
SIZES = (TRAINED, TOTAL)  # known before the training
PEAKS = (DEVICE_BYTES, HOST_BYTES)  # known after the first steps
TIMES = (SECONDS, DEVICE_HOURS)  # known after each step
GROWING = (*TIMES, "cost.train_seconds", "cost.eval_seconds", "cost.flops")  # with each step
COSTS = (*PEAKS, *GROWING)


def limit_names(metrics: Iterable[str]) -> tuple[str, ...]:
    """Return all names that `study.limits` may have, where an evaluation records these `metrics`
    (`eval/…`)."""
    return (*SIZES, *COSTS, LATENCY, *map(limit_name, metrics))


def metric_of(name: str) -> str | None:
    """Return the metric that a limit is about, `eval/…`; None for a limit of another kind."""
    kind, _, rest = name.partition(".")
    return f"eval/{rest}" if kind == "eval" else None


def times(seconds: float) -> dict[str, float]:
    """Return the values of `TIMES` of a trial that has taken so many seconds."""
    return {SECONDS: seconds, DEVICE_HOURS: seconds / 3600}


def constraints(limits: Mapping[str, float], measured: Mapping[str, float]) -> dict[str, float]:
    """Return value / limit - 1 for each limit whose value was measured and is finite: above 0 it
    is broken."""
    known = {name: measured[name] for name in limits if math.isfinite(measured.get(name, math.nan))}
    return {name: value / limits[name] - 1 for name, value in known.items()}


def excess(limits: Mapping[str, float], measured: Mapping[str, float]) -> dict[str, float]:
    """Return the constraints that are broken, as shares of their limits."""
    return {name: over for name, over in constraints(limits, measured).items() if over > 0}


def broken_text(limits: Mapping[str, float], measured: Mapping[str, float]) -> str:
    """Return which limits are broken, with value, limit and excess."""
    return "; ".join(
        f"{name} is {number(measured[name])}, {100 * over:,.1f} % above the limit of {number(limits[name])}"
        for name, over in excess(limits, measured).items()
    )


def number(value: float) -> str:
    """Return a value of any size, with at most six significant digits or as a whole number."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def flat(found: Any) -> Any:
    """Return nested mappings as one, with names joined by points; any other value as it is.

    The first slash of a name is read as a point.
    """
    if not isinstance(found, Mapping):
        return found
    limits: dict[Any, Any] = {}
    for key, value in found.items():
        name = limit_name(key) if isinstance(key, str) and "." not in key else key
        inner = flat(value)
        limits |= (
            {f"{name}.{rest}": one for rest, one in inner.items()} if isinstance(value, Mapping) else {name: inner}
        )
    return limits


Limits = Annotated[dict[str, Annotated[float, Field(gt=0)]], BeforeValidator(flat)]
