"""What each method trains and what it took, and which are worth it: the Pareto set of quality against cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from sweep.records.trial import total
from sweep.report.comparison.columns import Column, methods
from sweep.report.comparison.comparison import Comparison
from sweep.report.comparison.contestants import Contestant
from sweep.report.markdown import escape, join, table
from sweep.report.units import MISSING, count, flops, seconds, share, size

COSTS: Mapping[str, Callable[[Contestant], float]] = {
    "trained parameters": lambda one: one.final.parameters.trainable,
    "training seconds": lambda one: one.final.cost.train_seconds,
}


def fronts(comparison: Comparison) -> dict[str, frozenset[str]]:
    """By cost, the names of the methods in its Pareto set."""
    found = {}
    for cost, of in COSTS.items():
        found[cost] = comparison.front([of(one) for one in comparison.contestants])
    return found


def parameters(comparison: Comparison) -> str:
    found = comparison.contestants
    held = [one.final.parameters for one in found]
    columns = [
        Column("parameters", [one.total for one in held], show=count),
        Column("trained", [one.trainable for one in held], "lower", count),
        Column("share trained", [one.trainable / one.total if one.total else None for one in held], "lower", _percent),
        Column("memory of the weights", [one.bytes for one in held], "lower", size),
    ]
    return join([methods([one.name for one in found], columns), _pareto(comparison)])


def costs(comparison: Comparison) -> str:
    found = comparison.contestants
    final, search = [one.final.cost for one in found], [one.search for one in found]
    refits = [one.final.refit.cost.seconds if one.final.refit else None for one in found]
    spent = [total([one.search, *one.final.costs]) for one in found]
    columns = [
        Column("trials", [len(one.trials) for one in found], show=count),
        Column("search", [cost.seconds for cost in search], "lower", seconds),
        Column("training", [cost.train_seconds for cost in final], "lower", seconds),
        Column("with evaluations", [cost.seconds for cost in final], "lower", seconds),
        Column("refit", refits, "lower", seconds),
        Column("steps", [cost.steps for cost in final], show=count),
        Column("samples/s", [cost.samples_per_second for cost in final], "higher", _rate),
        Column("test rows/s", [_speed(one) for one in found], "higher", _rate),
        Column("FLOPs", [cost.flops or None for cost in final], "lower", flops),
        Column("peak memory, host", [cost.peak_host_bytes or None for cost in final], "lower", size),
        Column("peak memory, device", [cost.peak_device_bytes or None for cost in final], "lower", size),
        Column("device-hours in all", [cost.device_hours for cost in spent], "lower", _hours),
    ]
    said = (
        "Training is the winner's retraining; the search is all trials of the method; device-hours are all of it. Speeds are "
        "of training and of the test. FLOPs are the Trainer's estimate."
    )
    return join([methods([one.name for one in found], columns), said, _devices(found)])


def _pareto(comparison: Comparison) -> str:
    found = fronts(comparison)
    rows = [
        [escape(one.name), *("yes" if one.name in names else "no" for names in found.values())]
        for one in comparison.ranked
    ]
    said = (
        f"In the Pareto set of test/{comparison.main} against a cost are the methods that no other one matches or beats "
        "in both while being better in one:"
    )
    return join([said, table(["method", *(f"in the set: {cost}" for cost in found)], rows)])


def _devices(found: Sequence[Contestant]) -> str:
    names = {one.name: one.final.cost.device or one.lock.machine.get("cpu", "") for one in found}
    if len(set(names.values())) == 1:
        only = next(iter(names.values()))
        return f"All on {escape(only)}." if only else ""
    shown = "; ".join(f"{escape(name)}: {escape(device) or MISSING}" for name, device in names.items())
    return f"Devices differ, so that seconds cannot be compared as they are: {shown}."


def _speed(one: Contestant) -> float | None:
    return one.final.test_rows / one.final.test_seconds if one.final.test_seconds > 0 else None


def _percent(part: float) -> str:
    return share(part, 1)


def _rate(value: float) -> str:
    return f"{value:,.1f}"


def _hours(value: float) -> str:
    return f"{value:.3g}"
