"""Sentences about the rows: labels that no row has, texts in several splits, rows left out."""

from __future__ import annotations

from sweep.data.duplicates import told
from sweep.data.raw import listed
from sweep.report.facts import Facts
from sweep.report.markdown import bullets, escape


def cautions(facts: Facts) -> list[str]:
    """Sentences that qualify a score: labels without a scored row, and scored texts that were also trained or chosen on."""
    data = facts.lock.data
    shared = [one for one in data.duplicates if one.split != one.also_in]
    leaks = [f"{escape(sentence)}." for sentence in told(shared, data.rows)]
    return [*_unscored(facts, "validation"), *_unscored(facts, "test"), *leaks]


def notes(facts: Facts) -> str:
    """What the user was told about the data when the study began, as a list; empty where that was nothing."""
    return bullets([f"{escape(note)}." for note in facts.lock.data.notes])


def _unscored(facts: Facts, split: str) -> list[str]:
    counts = facts.lock.data.label_rows.get(split, ())
    names = [name for name, count in zip(facts.lock.data.label_names, counts, strict=False) if not count]
    if not names:
        return []
    how = (
        "count them as 0"
        if facts.multi_label
        else "leave out those of them that are never predicted, and count the others as 0"
    )
    which = f"{len(names)} of {len(counts)} labels have no {split} row ({escape(listed(names, 8))})"
    return [f"{which}: macro averages on {split} {how}."]
