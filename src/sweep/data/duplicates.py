"""Rows with the same text, within a split and across splits.

A scored text that is also in train makes the score too good. A text in both validation and test
makes the two scores agree.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations

from sweep.data.labels import Label
from sweep.provenance import Duplicates

Input = tuple[str, str | None]  # a text, and the second one of a pair


def loose(text: str) -> str:
    """Return a text without differences in case and white space."""
    return " ".join(text.casefold().split())


def folded(row: Input) -> bytes:
    """Return a key that is equal for rows whose texts differ in case and white space alone; for
    pairs, in both texts."""
    return _digest(*(None if text is None else loose(text) for text in row))


def count_duplicates(inputs: Mapping[str, Sequence[Input]], labels: Mapping[str, Sequence[Label]]) -> list[Duplicates]:
    """Return the duplicates within each split, then those across each two splits, without counts
    of zero.

    Across two splits the rows of the later one are counted.
    """
    loose = {split: [folded(row) for row in rows] for split, rows in inputs.items()}
    often = Counter(key for keys in loose.values() for key in keys)
    exact = {  # a text is unique if its folded text is unique
        split: [_digest(*row) if often[key] > 1 else key for row, key in zip(rows, loose[split], strict=True)]
        for split, rows in inputs.items()
    }
    found = [_within(split, exact[split], loose[split], labels[split]) for split in inputs]
    for other, split in combinations(inputs, 2):
        texts, known = set(exact[other]), _labels_by_key(loose[other], labels[other])
        same = [known.get(key, set()) for key in loose[split]]
        found.append(
            Duplicates(
                split=split,
                also_in=other,
                exact=sum(key in texts for key in exact[split]),
                folded=sum(map(bool, same)),
                relabelled=sum(bool(seen - {label}) for seen, label in zip(same, labels[split], strict=True)),
            )
        )
    return [one for one in found if one.folded]


def added(found: Iterable[Duplicates]) -> list[Duplicates]:
    """Return the sums of counts that are of the same splits."""
    sums: dict[tuple[str, str], Duplicates] = {}
    for one in found:
        key = (one.split, one.also_in)
        known = sums.get(key, Duplicates(*key, 0, 0, 0))
        sums[key] = Duplicates(
            *key, known.exact + one.exact, known.folded + one.folded, known.relabelled + one.relabelled
        )
    return list(sums.values())


def sentences(found: Iterable[Duplicates], rows: Mapping[str, int]) -> Iterator[str]:
    """Yield a sentence for each count, without its full stop."""
    for one in found:
        share = f"{one.folded} of {rows.get(one.split, 0)} {one.split} rows"
        other = _other(one)
        if one.exact == one.folded:
            what = f"have the exact text of {other}"
        elif one.exact:
            what = f"have the text of {other} ({one.exact} exactly, the others but for upper case and white space)"
        else:
            what = f"have the text of {other} but for upper case and white space"
        relabelled = f", {one.relabelled} of them with another label" if one.relabelled else ""
        yield f"{share} {what}{relabelled}"


def brief(found: Sequence[Duplicates], rows: Mapping[str, int]) -> Iterator[str]:
    """Yield a sentence on the duplicates within splits, and one on those across splits, each
    without its full stop."""
    for group in (
        [one for one in found if one.split == one.also_in],
        [one for one in found if one.split != one.also_in],
    ):
        if len(group) < 2:
            yield from sentences(group, rows)
            continue
        exact, relabelled = sum(one.exact for one in group), sum(one.relabelled for one in group)
        all_exact = exact == sum(one.folded for one in group)
        clauses = [f"{one.folded} of {rows.get(one.split, 0)} {one.split} rows that of {_other(one)}" for one in group]
        clauses[0] = clauses[0].replace(" that of ", " have the exact text of " if all_exact else " have the text of ")
        if not all_exact:
            clauses.append(f"upper case and white space aside ({exact or 'none'} of them exactly)")
        yield ", ".join(clauses) + (f"; {relabelled} of them with another label" if relabelled else "")


def _other(one: Duplicates) -> str:
    return "an earlier row" if one.split == one.also_in else f"a {one.also_in} row"


def advice(found: Iterable[Duplicates]) -> tuple[str, ...]:
    """Return advice on train rows whose text is scored; empty if there are none."""
    if any(one.also_in == "train" != one.split for one in found):
        return ("dataset.duplicates=drop takes rows out of train whose text is in validation or test too",)
    return ()


def without(train: Sequence[Input], scored: Iterable[Input]) -> list[int]:
    """Return the positions of the train rows to keep, in order: the first row of each text that no
    scored row has."""
    seen = {folded(row) for row in scored}
    kept = []
    for position, row in enumerate(train):
        key = folded(row)
        if key not in seen:
            seen.add(key)
            kept.append(position)
    return kept


def _within(split: str, exact: Sequence[bytes], loose: Sequence[bytes], labels: Sequence[Label]) -> Duplicates:
    before: dict[bytes, set[Label]] = {}
    repeated = relabelled = 0
    for key, label in zip(loose, labels, strict=True):
        seen = before.setdefault(key, set())
        repeated += bool(seen)
        relabelled += bool(seen - {label})
        seen.add(label)
    return Duplicates(split, split, len(exact) - len(set(exact)), repeated, relabelled)


def _labels_by_key(keys: Sequence[bytes], labels: Sequence[Label]) -> dict[bytes, set[Label]]:
    found: dict[bytes, set[Label]] = {}
    for key, label in zip(keys, labels, strict=True):
        found.setdefault(key, set()).add(label)
    return found


def _digest(*texts: str | None) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for text in texts:
        data = b"" if text is None else text.encode()
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.digest()
