"""The measured values that may be a study's second objective: less is better of each.

A limit of the same value has a dot in place of the slash: `cost.seconds`.
"""

from __future__ import annotations

from collections.abc import Mapping

MEASURED: Mapping[str, str] = {
    "cost/seconds": "seconds of the trial, or its share of the time of trials that train at once",
    "cost/train_seconds": "seconds of training",
    "cost/eval_seconds": "seconds of evaluation",
    "cost/peak_host_bytes": "most memory of the process",
    "cost/peak_device_bytes": "most memory on the GPU",
    "parameters/trained": "weights that are trained",
}
