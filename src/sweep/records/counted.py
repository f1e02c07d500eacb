"""The trials that count towards `study.n_trials`."""

from __future__ import annotations

from collections.abc import Iterable

from sweep.records.trial import Failed, Outcome, TrialRecord


def counts(outcome: Outcome) -> bool:
    """Return whether a trial that ended so counts: its point is not tried again."""
    return not (isinstance(outcome, Failed) and outcome.again)


def counting(records: Iterable[TrialRecord]) -> list[TrialRecord]:
    """Return the trials that count towards `study.n_trials`, in the order in which they ended."""
    found = [record for record in records if counts(record.outcome)]
    return sorted(found, key=lambda record: (record.ended_as, record.finished, record.number))
