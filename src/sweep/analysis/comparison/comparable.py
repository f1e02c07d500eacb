"""The check that runs can be compared: the same task, labels and rows, chosen by the same
metric."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from sweep.analysis.comparison.methods import ComparedMethod
from sweep.analysis.predictions import Prediction
from sweep.data.labels import joined
from sweep.errors import Fault


def differences(found: Sequence[ComparedMethod]) -> list[Fault]:
    """Return one fault for each pair that cannot be compared, naming all that differs."""
    faults = []
    for first, second in combinations(found, 2):
        if reasons := list(_reasons(first, second)):
            faults.append(Fault(f"{first.name} and {second.name}", f"cannot be compared: {'; '.join(reasons)}"))
    return faults


def _reasons(first: ComparedMethod, second: ComparedMethod) -> Iterator[str]:
    if first.task != second.task:
        yield f"dataset.task is {first.task} and {second.task}"
    ours, theirs = first.lock.config.study, second.lock.config.study
    if ours.objective != theirs.objective:
        chosen = [f"{study.metric} ({study.direction})" for study in (ours, theirs)]
        yield f"their trials were chosen by {chosen[0]} and {chosen[1]}"
    elif first.own_objective != second.own_objective:
        yield f"the code of their metric {ours.metric} differs"
    if first.final.label_names != second.final.label_names:
        yield _labels(first.final.label_names, second.final.label_names)
    rows = _rows(first.predictions, second.predictions)
    if rows:
        yield rows
    elif first.lock.data.fingerprint != second.lock.data.fingerprint:
        yield "the test rows are the same, but those of train or validation differ (data fingerprint)"


def _labels(ours: Sequence[str], theirs: Sequence[str]) -> str:
    if set(ours) == set(theirs):
        return "their labels are in another order"
    absent = sorted(set(ours) ^ set(theirs))
    more = f" and {len(absent) - 3} more" if len(absent) > 3 else ""
    labels = "label" if len(absent) == 1 else "labels"
    return f"only one of them has the {len(absent):,} {labels} {', '.join(map(repr, absent[:3]))}{more}"


def _rows(ours: Sequence[Prediction], theirs: Sequence[Prediction]) -> str:
    if len(ours) != len(theirs):
        return f"they were tested on {len(ours)} and {len(theirs)} rows"
    for place, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        if (one.text, one.pair) != (other.text, other.pair):
            shuffled = {(row.text, row.pair) for row in ours} == {(row.text, row.pair) for row in theirs}
            return f"their test rows {'are in another order' if shuffled else 'have other texts'}, from row {place} on"
        if set(one.label) != set(other.label):
            return (
                f"test row {place} has the label {joined(one.label)!r} in one and {joined(other.label)!r} in the other"
            )
    return ""
