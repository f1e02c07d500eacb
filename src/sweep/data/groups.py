"""The division of rows into parts that keep groups together, such as the texts of one author."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

from sweep.data.select import Indices, shuffled

Names = tuple[str, ...]


def divided(
    indices: Indices,
    shares: Sequence[float],
    *,
    seed: int,
    stream: str,
    groups: Mapping[int, Hashable],
    labels: Mapping[int, Names],
) -> list[Indices]:
    """Return the rows of each part, in file order. Parts have the given `shares` of the rows, and
    of each label, as far as whole groups allow.

    The largest groups come first, each for the part that lacks most of the group's labels; this is
    the order of scikit-learn's `StratifiedGroupKFold`, whose parts are all of one size. Parts that
    lack equally much are filled by the number of their rows.
    """
    members: dict[Hashable, list[int]] = {}
    for index in shuffled(indices, seed, stream):
        members.setdefault(groups[index], []).append(index)
    total = Counter(name for index in indices for name in labels[index])
    counts = {group: Counter(name for index in rows for name in labels[index]) for group, rows in members.items()}
    rarest = {group: min((total[name] for name in found), default=math.inf) for group, found in counts.items()}
    lacking = [Counter({name: share * count for name, count in total.items()}) for share in shares]
    room = [share * len(indices) for share in shares]
    parts: list[list[int]] = [[] for _ in shares]
    for group in sorted(members, key=lambda one: (-len(members[one]), rarest[one])):
        found, size = counts[group], len(members[group])
        chosen = max(range(len(parts)), key=lambda part: (_lack(lacking[part], found, total), room[part]))
        parts[chosen] += members[group]
        lacking[chosen].subtract(found)
        room[chosen] -= size
    return [tuple(sorted(part)) for part in parts]


def cut_by_group(
    indices: Indices,
    ratio: float,
    *,
    seed: int,
    stream: str,
    groups: Mapping[int, Hashable],
    labels: Mapping[int, Names],
) -> tuple[Indices, Indices]:
    """Return the rows that stay and those that are cut off, about `ratio` of all, with no group in
    both. Raises ValueError where there are fewer than two groups.

    Each part has a group: if groups are so large that one part got none, the smallest group of the
    other part moves.
    """
    sizes = Counter(groups[index] for index in indices)
    if len(sizes) < 2:
        raise ValueError(f"needs two groups, but {len(indices)} rows have {len(sizes)}")
    kept, off = divided(indices, (1 - ratio, ratio), seed=seed, stream=stream, groups=groups, labels=labels)
    if not kept or not off:
        smallest = min(sizes, key=sizes.__getitem__)
        moved = {index for index in indices if groups[index] == smallest}
        rest = tuple(index for index in indices if index not in moved)
        kept, off = (rest, tuple(sorted(moved))) if not off else (tuple(sorted(moved)), rest)
    return kept, off


def _lack(lacking: Mapping[str, float], found: Mapping[str, int], total: Mapping[str, int]) -> float:
    """Return how much a part lacks of the labels of a group, as shares of all rows of a label."""
    return round(math.fsum(count * lacking[name] / total[name] for name, count in found.items()), 9)
