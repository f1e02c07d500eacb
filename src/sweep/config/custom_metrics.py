"""Metrics of the user's own, named by dotted paths in `dataset.metrics`.

A metric is a function `(labels, probabilities) -> float`, or a class derived from
`evaluate.Metric`, which is given predictions and references. Labels are (rows,) label numbers, or
(rows, labels) of 0 and 1 for a multi-label task; probabilities are (rows, labels).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweep.config.custom_code import OwnCodeError, as_user_error, load
from sweep.config.extra_metrics import is_extra
from sweep.config.metrics import BY_TASK, short_name
from sweep.config.schema import DatasetConfig
from sweep.errors import Fault, UserError, shortened

KEY = "dataset.metrics"
_TRIED = 2_000  # rows that a metric is tried on before training


@dataclass(frozen=True, slots=True)
class OwnValues:
    """The values of metrics by their short names, and why each other metric has none: it raised,
    or gave no number."""

    values: Mapping[str, float]
    errors: Mapping[str, UserError]


def own_values(
    paths: Sequence[str],
    labels: NDArray[np.int64],
    decided: NDArray[np.int64],
    probabilities: NDArray[np.float64],
) -> OwnValues:
    """Return the value of each metric, computed once; NaN where a metric is not defined on these
    rows."""
    values: dict[str, float] = {}
    errors: dict[str, UserError] = {}
    for path in paths:
        try:
            values[short_name(path)] = _value(path, labels, decided, probabilities)
        except UserError as error:
            errors[short_name(path)] = error
    return OwnValues(values, errors)


def metric_faults(dataset: DatasetConfig) -> Iterator[tuple[str, str]]:
    """Yield the config key and the rule of each metric that cannot be imported or called."""
    taken = set(BY_TASK[dataset.task])
    for path in dataset.metrics:
        name = short_name(path)
        if name in taken:
            way_out = "name it once" if is_extra(path) else "give the function another name"
            yield KEY, f"names {path}, but there is a metric {name} already; {way_out}"
        taken.add(name)
        if is_extra(path):
            continue
        try:
            if rule := _call_rule(path):
                yield KEY, rule
        except OwnCodeError as error:
            yield KEY, str(error)


def trial_faults(dataset: DatasetConfig, labels: NDArray[np.int64], count: int) -> list[Fault]:
    """Return what is wrong with the metrics when they are computed on the first rows, with random
    probabilities.

    `labels` are those of the validation rows, and `count` is the number of labels.
    """
    rows = labels[:_TRIED]
    chances = np.random.default_rng(0).dirichlet(np.ones(count), len(rows))
    decided = chances.argmax(axis=1) if dataset.task == "single_label" else (chances > 1 / count).astype(np.int64)
    errors = own_values(dataset.own_metrics, rows, decided, chances).errors
    return [fault for error in errors.values() for fault in error.faults]


def _value(path: str, *rows: NDArray[Any]) -> float:
    """Return the value of a metric. Raises UserError where it raises, or gives no number."""
    try:
        owner = load(path)
    except OwnCodeError as error:
        raise UserError.of(KEY, str(error)) from None
    with as_user_error(KEY, path, "when it was computed"):
        found = _compute(owner, *rows)
        if isinstance(found, Real) and not isinstance(found, bool):
            return float(found)  # raises for an integer that is too large
        shown = shortened(repr(found), 60)
    raise UserError.of(KEY, f"is {path}, which gave {shown}, but must give one number")


def _compute(
    owner: Callable[..., Any], labels: NDArray[Any], decided: NDArray[Any], probabilities: NDArray[Any]
) -> object:
    if not _is_evaluate_metric(owner):
        return owner(labels.copy(), probabilities.copy())
    found = owner(keep_in_memory=True, seed=0).compute(predictions=decided, references=labels)
    return next(iter(found.values())) if isinstance(found, dict) and len(found) == 1 else found


def _is_evaluate_metric(owner: object) -> bool:
    if not isinstance(owner, type):
        return False
    from evaluate import EvaluationModule  # imports torch: the module of such a class has done so already

    return issubclass(owner, EvaluationModule)


def _call_rule(path: str) -> str:
    """Return the rule that the object at the path breaks; empty if it breaks none."""
    owner = load(path)
    if isinstance(owner, type):
        rule = f"is {path}, a class, but must be a function of labels and probabilities, or derive from evaluate.Metric"
        return "" if _is_evaluate_metric(owner) else rule
    try:
        inspect.signature(owner).bind(None, None)
    except TypeError as error:
        return f"is {path}, which must take labels and probabilities: {error}"
    except ValueError:  # a function written in C shows no signature; the try on a few rows decides
        return ""
    return ""
