"""The choice of rows by the config's seed, as indices in file order.

Random numbers come from `random.Random.random()`, whose sequence Python keeps across versions, so
that a seed gives the same rows with every version of every library.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

Indices = tuple[int, ...]


def every_nth(count: int, step: int) -> Indices:
    """Return the first row and every `step`-th row after it."""
    return tuple(range(0, count, step))


def at_most(indices: Indices, limit: int | float | None, *, seed: int, stream: str) -> Indices:
    """Return a random subset of `limit` rows, or of that share of them, rounded up; in file order.

    The first rows would not do, since files are often sorted by label.
    """
    if limit is None:
        return indices
    size = limit if isinstance(limit, int) else math.ceil(limit * len(indices))
    return tuple(sorted(shuffled(indices, seed, stream)[:size]))


def cut(
    indices: Indices, ratio: float, *, seed: int, labels: Sequence[Hashable] | None, stream: str = "validation"
) -> tuple[Indices, Indices]:
    """Return the rows that stay and the rows that are cut off, both in file order.

    ceil(ratio * n) rows are cut off, as in scikit-learn's `train_test_split`. With `labels` (one
    for each index), every label is cut in proportion. `stream` is as in `shuffled`. Raises
    ValueError if the proportion cannot be kept: for a label with one row, or if a part has fewer
    rows than there are labels.
    """
    size = math.ceil(ratio * len(indices))
    order = shuffled(indices, seed, stream)
    off = set(order[:size] if labels is None else _in_proportion(order, dict(zip(indices, labels, strict=True)), size))
    return tuple(index for index in indices if index not in off), tuple(sorted(off))


def shuffled(indices: Indices, seed: int, stream: str) -> list[int]:
    """Return the indices in random order. Each `stream` has random numbers of its own."""
    draw = random.Random(f"{seed}/{stream}").random
    return [index for _, index in sorted((draw(), index) for index in indices)]


def _in_proportion(order: Sequence[int], labels: dict[int, Hashable], size: int) -> list[int]:
    """Return the first rows of each label in `order`: its share rounded down, and one more for the
    largest remainders."""
    counts = Counter(labels[index] for index in order)
    if min(counts.values()) < 2:
        rare = [label for label, count in counts.items() if count < 2]
        raise ValueError(f"needs two rows of each label, but {rare[0]} has one")
    if min(size, len(order) - size) < len(counts):
        parts = f"{len(order) - size} and {size} rows"
        raise ValueError(f"needs a row of each of {len(counts)} labels on both sides, but there are {parts}")
    exact = {label: count * size / len(order) for label, count in counts.items()}
    quota = {label: math.floor(share) for label, share in exact.items()}
    by_remainder = sorted(counts, key=lambda label: quota[label] - exact[label])
    for label in by_remainder[: size - sum(quota.values())]:
        quota[label] += 1
    return taken(order, labels, quota)


def taken(order: Sequence[int], labels: Mapping[int, Hashable], quota: Mapping[Any, int]) -> list[int]:
    """Return the first rows in `order` of each label, as many as its quota."""
    remaining = dict(quota)
    found = []
    for index in order:
        if remaining[labels[index]]:
            remaining[labels[index]] -= 1
            found.append(index)
    return found
