"""The trials that count towards `study.n_trials`."""

from __future__ import annotations

from collections.abc import Iterable

from sweep.records.trial import Failed, TrialRecord


def counting(records: Iterable[TrialRecord]) -> list[TrialRecord]:
    """Return the trials that count towards `study.n_trials`, in the order in which they ended."""
    found = [record for record in records if not (isinstance(record.outcome, Failed) and record.outcome.again)]
    return sorted(found, key=lambda record: (record.ended_as, record.finished, record.number))
