"""The rules of `study.stop` in a search that runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from sweep.config.schema import Scalar, StudyConfig
from sweep.plan.plan import Plan
from sweep.records.trial import TrialRecord
from sweep.search.stopping import Outlook, Scale, held_rule, outlooks


@dataclass(slots=True)
class StopRule:
    """Says whether a rule of `study.stop` keeps new trials from starting.

    It goes by the trials that have ended, and is asked again after each end: a trial that
    still ran when a rule came to hold is trained to its end, and where it has a better score
    the rule may no longer hold. So a search that was stopped on the way ends as one that was
    not.
    """

    study: StudyConfig
    choices: Sequence[Scalar]
    scale: Scale
    _asked: tuple[int, int] = (-1, -1)
    _states: tuple[Outlook, ...] = ()
    _rule: str = ""

    @classmethod
    def of(cls, plan: Plan) -> Self:
        """Return the rules of a plan's study."""
        config, study = plan.config, plan.config.study
        return cls(
            study,
            plan.space.choices(study.compare_by),
            Scale.of(config.dataset, study.metric, plan.splits.state.scored),
        )

    def holds(self, records: Sequence[TrialRecord], wanted: int) -> bool:
        """Return whether a rule holds after these trials of `wanted` in all."""
        if not self.study.stop.on:
            return False
        if self._asked != (len(records), wanted):
            self._asked = (len(records), wanted)
            self._states = outlooks(records, self.study, self.choices, self.scale, wanted=wanted)
            self._rule = held_rule(self.study, self._states)
        return bool(self._rule)

    def conclude(self, say: Callable[[str], None], *, counted: int, wanted: int, unfinished: str) -> None:
        """Tell the user which rule ended the search, why, and how many trials are `unfinished`, in
        words. Call it where a rule `holds`."""
        value = getattr(self.study.stop, self._rule)
        say(
            f"note: study.stop.{self._rule} is {value}: {self._reason()}; the search ends after {counted} of {wanted} "
            f"trials{unfinished}. study.stop.{self._rule}=null runs the others"
        )

    def _reason(self) -> str:
        metric = self.study.metric
        each = f" of each {self.study.compare_by}" if self.choices else ""
        if self._rule == "patience":
            fewest = min(state.since_best for state in self._states)
            last = "last trial" if fewest == 1 else f"last {fewest} trials"
            return f"the {last}{each} brought no better {metric}"
        gains = [state.gain.expected for state in self._states if state.gain is not None]
        moved = "raise" if self.study.objective.maximize else "lower"
        return f"the trials to come{each} are expected to {moved} the best {metric} by {max(gains):.2g}"
