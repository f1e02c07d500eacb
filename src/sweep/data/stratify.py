"""A cut that keeps the share of each label as far as possible."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heappush

from sweep.data.select import Indices, cut, shuffled, taken

Names = tuple[str, ...]


def stratified(
    indices: Indices, ratio: float, *, seed: int, labels: Sequence[Names], stream: str
) -> tuple[Indices, Indices, tuple[str, ...]]:
    """Return the indices that stay, those that are cut off, and the labels that only one part has.

    `labels` are the labels of each index.

    The cut of `select.cut` where each row has one label and every label gets a row on both sides.
    Else a label with two rows or more gets one on each side, if there are enough rows to cut off,
    and a label with one row stays. Rows with several labels are cut by iterative stratification
    (Sechidis, Tsoumakas and Vlahavas 2011), with fixed sizes, or at random where fewer rows than
    labels are cut off.
    """
    if not indices:
        return (), (), ()
    by_index = dict(zip(indices, labels, strict=True))
    size = math.ceil(ratio * len(indices))
    if all(len(names) == 1 for names in labels):
        single = [names[0] for names in labels]
        try:
            kept, off = cut(indices, ratio, seed=seed, labels=single, stream=stream)
            if not _one_sided(by_index, off):
                return kept, off, ()
        except ValueError:
            pass
        order = shuffled(indices, seed, stream)
        chosen = taken(order, dict(zip(indices, single, strict=True)), _quotas(Counter(single), size))
    else:
        chosen = _iterative(shuffled(indices, seed, stream), by_index, size)
    off = tuple(sorted(chosen))
    kept = tuple(sorted(set(indices) - set(chosen)))
    return kept, off, _one_sided(by_index, off)


def _one_sided(labels: Mapping[int, Names], off: Indices) -> tuple[str, ...]:
    """Return the labels whose rows are all in one part, with their numbers of rows."""
    total = Counter(name for names in labels.values() for name in names)
    cut_off = Counter(name for index in off for name in labels[index])
    return tuple(f"{name} ({count})" for name, count in sorted(total.items()) if cut_off[name] in (0, count))


def _quotas(counts: Mapping[str, int], size: int) -> dict[str, int]:
    """Return the rows to cut off of each label, `size` in all.

    Each next row goes to the label that lacks most.
    """
    share = size / sum(counts.values())
    quota = {label: int(count > 1) for label, count in counts.items()}
    most = {label: count - 1 for label, count in counts.items()}
    if sum(quota.values()) > size:
        quota = dict.fromkeys(counts, 0)
    if sum(most.values()) < size:
        most = dict(counts)
    heap = [
        (quota[label] - share * counts[label], place, label)
        for place, label in enumerate(counts)
        if quota[label] < most[label]
    ]
    heapify(heap)
    for _ in range(size - sum(quota.values())):
        surplus, place, label = heappop(heap)
        quota[label] += 1
        if quota[label] < most[label]:
            heappush(heap, (surplus + 1, place, label))
    return quota


def _iterative(order: Sequence[int], labels: Mapping[int, Names], size: int) -> list[int]:
    """Return the rows to cut off.

    Rows of the rarest label come first, each for the part that lacks more of that label.
    """
    rows: dict[str, list[int]] = {}
    for index in order:
        for name in dict.fromkeys(labels[index]):
            rows.setdefault(name, []).append(index)
    if size < len(rows):
        return list(order[:size])
    want_off = {name: _wanted(len(found), size / len(order)) for name, found in rows.items()}
    want_kept = {name: len(found) - want_off[name] for name, found in rows.items()}
    left = {name: len(found) for name, found in rows.items()}
    room_off, room_kept = size, len(order) - size
    side: dict[int, bool] = {}  # True is cut off
    while left:
        rarest = min(left, key=left.__getitem__)
        for index in (index for index in rows[rarest] if index not in side):
            lacking = want_off[rarest] - want_kept[rarest]
            off = bool(room_off) and (not room_kept or lacking > 0 or (lacking == 0 and room_off > room_kept))
            side[index] = off
            room_off, room_kept = (room_off - 1, room_kept) if off else (room_off, room_kept - 1)
            for name in dict.fromkeys(labels[index]):
                (want_off if off else want_kept)[name] -= 1
                if name in left:
                    left[name] -= 1
        left = {name: count for name, count in left.items() if count}
    without = [index for index in order if index not in side]
    return [*(index for index in order if side.get(index)), *without[:room_off]]


def _wanted(count: int, share: float) -> float:
    return min(max(count * share, 1.0), count - 1.0) if count > 1 else 0.0
