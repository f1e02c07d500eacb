"""The trials of a study that have ended, best first, and the adapters that are kept of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from sweep.config.objective import Objective
from sweep.config.schema import Scalar
from sweep.plan.plan import Plan
from sweep.records.store import Store
from sweep.records.trial import Completed, Failed, Outcome, TrialPlan, TrialRecord, ranked


@dataclass(slots=True)
class EndedTrials:
    """The records of the trials that have ended, on the disk and in memory.

    They are read once: the process that holds the run directory alone writes them. With a
    `compare_by`, the trials of each value of that key have a best one of their own.
    """

    store: Store
    objective: Objective
    compare_by: str | None = None
    _known: dict[int, TrialRecord] | None = None
    _with_adapters: set[int] = field(default_factory=set)  # those whose adapters may be on the disk

    @classmethod
    def of(cls, plan: Plan, store: Store) -> Self:
        """Return the ended trials of a plan's study."""
        study = plan.config.study
        return cls(store, study.objective, study.compare_by)

    @property
    def records(self) -> list[TrialRecord]:
        """Return all records by number."""
        return [record for _, record in sorted(self._by_number.items())]

    @property
    def _by_number(self) -> dict[int, TrialRecord]:
        if self._known is None:
            self._known = {record.number: record for record in self.store.trials()}
            self._with_adapters = set(self._known)
        return self._known

    def write(self, record: TrialRecord) -> None:
        """Write the record of a trial that has ended after all others."""
        self._write(replace(record, ended_as=1 + max((one.ended_as for one in self._by_number.values()), default=0)))

    def write_again(self, record: TrialRecord) -> None:
        """Write the record of a trial that ended before this process began, among the others by
        its time."""
        before = [one.ended_as for one in self._by_number.values() if one.finished <= record.finished]
        self._write(replace(record, ended_as=max(before, default=0)))

    def _write(self, record: TrialRecord) -> None:
        known = self._by_number
        self.store.write_trial(record)
        if isinstance(record.outcome, Completed) and record.outcome.out_of_fold is not None:  # it is on the disk
            record = replace(record, outcome=replace(record.outcome, out_of_fold=None))
        known[record.number] = record
        self._with_adapters.add(record.number)

    def best(self) -> TrialRecord | None:
        """Return the completed trial with the best score, in the order of `records.ranked`."""
        return next(iter(ranked(self.records, self.objective)), None)

    def groups(self, records: Iterable[TrialRecord] | None = None) -> dict[Scalar, list[TrialRecord]]:
        """Return the completed trials among `records` (all by default), best first, by the value
        of `compare_by`, the one with the best trial of all first; without it all are under None.
        With two objectives the order of each value is that of its own trials: those of another one
        say nothing about which of them are within reach of the best."""
        best_first: dict[Scalar, list[TrialRecord]] = {}
        for record in ranked(self.records if records is None else records, self.objective):
            best_first.setdefault(self._value(record.params), []).append(record)
        return {value: ranked(own, self.objective) for value, own in best_first.items()}

    def leads(self, trial: TrialPlan, outcome: Outcome) -> bool:
        """Return whether a trial with this outcome comes before all others, or before those of the
        same compared value, or may come to do so with two objectives."""
        record = TrialRecord(trial.number, trial.params, outcome, trial.command, trial.total_steps, "", "")
        group = self.groups([*self.records, record]).get(self._value(trial.params), [])
        return any(one is record for one in self._leaders(group))

    def stopped_at(self, params: Mapping[str, Scalar]) -> int | None:
        """Return the number of the last trial that was stopped at a point and is retried, or
        None."""
        stopped = [
            record.number for record in self.records
            if isinstance(record.outcome, Failed) and record.outcome.reason.retried and record.params == params
        ]  # fmt: skip
        return max(stopped, default=None)

    def keep_best_only(self) -> None:
        """Delete the saved adapters of all trials but the best one, or the best one of each
        compared value, and those that may come to be the best one with two objectives."""
        best = {one.number for group in self.groups().values() for one in self._leaders(group)}
        for number in sorted(self._with_adapters - best):
            self.store.drop_best(number)
        self._with_adapters &= best

    def _leaders(self, group: Sequence[TrialRecord]) -> Iterator[TrialRecord]:
        """Yield the first of trials in their order, and with two objectives each one that is
        better in the first objective than all before it: it leads when those are out of its reach
        (`study.choose_within`), since a later trial is better still."""
        best = math.inf
        for record in group:
            value = self.objective.loss_of(record.value(self.objective))
            if value < best or record is group[0]:
                best = value
                yield record
            if self.objective.second is None:
                return

    def _value(self, params: Mapping[str, Scalar]) -> Scalar:
        return params.get(self.compare_by) if self.compare_by else None
