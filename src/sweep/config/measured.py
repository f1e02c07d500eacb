"""The measured values that may be a study's second objective: less is better of each.

A limit of the same value has a dot in place of the slash: `cost.seconds`.
"""

from __future__ import annotations

from collections.abc import Mapping

DEVICE_PEAK = "cost/peak_device_bytes"
MEASURED: Mapping[str, str] = {
    "cost/seconds": "seconds of the trial, or its share of the time of trials that train at once",
    "cost/train_seconds": "seconds of training",
    "cost/eval_seconds": "seconds of evaluation",
    "cost/peak_host_bytes": "most memory of the process",
    DEVICE_PEAK: "most memory on the GPU",
    "parameters/trained": "weights that are trained",
    "predict/latency_ms": "milliseconds of the forward pass of one row, the median of twenty",
}


def limit_name(metric: str) -> str:
    """Return the name of the limit on a measured value or a metric."""
    return metric.replace("/", ".", 1)
