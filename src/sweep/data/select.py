"""Which rows of a split are used. Everything is indices in file order, decided by the config's seed alone.

Draws come from `random.Random.random()`, whose sequence Python promises to keep, so that a seed means the
same rows with every version of every library.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

Indices = tuple[int, ...]


def every_nth(count: int, step: int) -> Indices:
    """The first row and every `step`-th after it."""
    return tuple(range(0, count, step))


def at_most(indices: Indices, limit: int | float | None, *, seed: int, stream: str) -> Indices:
    """A random subset of `limit` rows, or of that share of them, rounded up; in file order. Not the first
    rows, because files are often sorted by label."""
    if limit is None:
        return indices
    size = limit if isinstance(limit, int) else math.ceil(limit * len(indices))
    return tuple(sorted(shuffled(indices, seed, stream)[:size]))


def cut(
    indices: Indices, ratio: float, *, seed: int, labels: Sequence[Hashable] | None, stream: str = "validation"
) -> tuple[Indices, Indices]:
    """Split into what stays and what is cut off, ceil(ratio * n) rows as in scikit-learn's
    `train_test_split`, both in file order. With `labels` (of each index), every label is cut in proportion.
    `stream` as in `shuffled`.

    Raises ValueError where the proportion cannot be kept: a label with one row, or fewer rows than labels in
    a part.
    """
    size = math.ceil(ratio * len(indices))
    order = shuffled(indices, seed, stream)
    off = set(order[:size] if labels is None else _in_proportion(order, dict(zip(indices, labels, strict=True)), size))
    return tuple(index for index in indices if index not in off), tuple(sorted(off))


def shuffled(indices: Indices, seed: int, stream: str) -> list[int]:
    """In random order; `stream` keeps draws for different purposes apart."""
    draw = random.Random(f"{seed}/{stream}").random
    return [index for _, index in sorted((draw(), index) for index in indices)]


def _in_proportion(order: Sequence[int], labels: dict[int, Hashable], size: int) -> list[int]:
    """The first rows of each label in `order`: rounded down, then one more for the largest remainders until
    `size`."""
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
    """The first rows in `order` of each label, as many as its quota."""
    left = dict(quota)
    found = []
    for index in order:
        if left[labels[index]]:
            left[labels[index]] -= 1
            found.append(index)
    return found
