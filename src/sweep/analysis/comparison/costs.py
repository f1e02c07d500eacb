"""The trained parameters and the cost of each method, and the Pareto sets of quality and cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sweep.analysis.comparison.columns import Column, known
from sweep.analysis.comparison.comparison import Comparison
from sweep.analysis.comparison.methods import ComparedMethod
from sweep.records.cost import total

COSTS: Mapping[str, Callable[[ComparedMethod], float]] = {
    "trained parameters": lambda one: one.final.parameters.trainable,
    "training seconds": lambda one: one.final.cost.train_seconds,
}


def fronts(comparison: Comparison) -> dict[str, frozenset[str]]:
    """Return the names of the methods in the Pareto set, by cost."""
    found = {}
    for cost, of in COSTS.items():
        found[cost] = comparison.front([of(one) for one in comparison.methods])
    return found


def parameters(comparison: Comparison) -> tuple[Column, ...]:
    """Return how many parameters each method has and trains."""
    held = [one.final.parameters for one in comparison.methods]
    shares = [one.trainable / one.total if one.total else None for one in held]
    return known(
        [
            Column("parameters", [one.total for one in held], unit="count"),
            Column("trained", [one.trainable for one in held], "lower", "count"),
            Column("share trained", shares, "lower", "share"),
            Column("memory of the weights", [one.bytes for one in held], "lower", "size"),
        ]
    )


def costs(comparison: Comparison) -> tuple[Column, ...]:
    """Return what searching, training and testing each method cost."""
    found = comparison.methods
    final, search = [one.final.cost for one in found], [one.search for one in found]
    refits = [one.final.refit.cost.seconds if one.final.refit else None for one in found]
    spent = [total([one.search, *one.final.costs]) for one in found]
    return known(
        [
            Column("trials", [one.searched for one in found], unit="count"),
            Column("search", [cost.seconds for cost in search], "lower", "seconds"),
            Column("training", [cost.train_seconds for cost in final], "lower", "seconds"),
            Column("with evaluations", [cost.seconds for cost in final], "lower", "seconds"),
            Column("refit", refits, "lower", "seconds"),
            Column("steps", [cost.steps for cost in final], unit="count"),
            Column("samples/s", [cost.samples_per_second for cost in final], "higher", "rate"),
            Column("test rows/s", [_speed(one) for one in found], "higher", "rate"),
            Column("FLOPs", [cost.flops or None for cost in final], "lower", "flops"),
            Column("peak memory, host", [cost.peak_host_bytes or None for cost in final], "lower", "size"),
            Column("peak memory, device", [cost.peak_device_bytes or None for cost in final], "lower", "size"),
            Column("device-hours in all", [cost.device_hours for cost in spent], "lower", "hours"),
        ]
    )


def devices(comparison: Comparison) -> dict[str, str]:
    """Return the device of each method; empty where it is not known."""
    return {one.name: one.final.cost.device or one.lock.machine.get("cpu", "") for one in comparison.methods}


def _speed(one: ComparedMethod) -> float | None:
    return one.final.test_rows / one.final.test_seconds if one.final.test_seconds > 0 else None
