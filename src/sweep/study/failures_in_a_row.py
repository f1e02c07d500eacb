"""Trials that fail one after the other with one cause: then the cause is probably not in the
points."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from sweep.engine.second_objective import UNDEFINED
from sweep.errors import ADVICE, UserError, shortened
from sweep.records.trial import Failed, FailureReason, Outcome

_KEY = "study.max_failures_in_a_row"
_LONGEST = 300  # characters of a failure's message

# What differs between the messages of one cause, beside the host of the worker: paths and numbers.
_PATH = re.compile(r"(?:[\w.~-]*/)+[\w.~-]*")
_NUMBER = re.compile(r"(?i)(?<![a-z_])[-+]?(?:\d[\d,]*\.?\d*(?:e[-+]?\d+)?|nan|inf(?:inity)?)(?![a-z_])")

_WAY_OUT = {
    FailureReason.OUT_OF_MEMORY: ADVICE.partition(";")[0],
    FailureReason.DIVERGED: "Search smaller learning rates, or clip gradients (trainer.max_grad_norm)",
    FailureReason.TIMED_OUT: "Raise study.trial_timeout, or search shorter trials",
    FailureReason.INFEASIBLE: "Search a key only where the others allow it (when:)",
    FailureReason.LOST: "Look at what ends the workers",
}


# The loss is finite: smaller learning rates change nothing. Each of these is another experiment.
_UNDEFINED_METRIC = "Take more validation rows, mend the metric, or name another one, with a new study.study_name"


@dataclass(slots=True)
class FailuresInARow:
    """Counts trials that fail in the order of their ends; those of one pack count one by one.

    Failures have one cause where reason and message are the same, apart from numbers, paths and
    the host. A trial that completes, is pruned or fails otherwise begins a new count. A trial that
    goes on or is tried again, since its failure says nothing about its point, counts nothing;
    neither does a trial beyond a limit of the study, which the user expects. All that are
    predicted to need more memory than there is have one cause. `most` None counts none.
    """

    most: int | None
    numbers: list[int] = field(default_factory=list)
    last: Failed | None = None

    def ended(self, number: int, outcome: Outcome) -> None:
        """Count how a trial ended."""
        if self.reached or (isinstance(outcome, Failed) and (outcome.again or _is_beyond(outcome))):
            return
        if not isinstance(outcome, Failed):
            self.numbers, self.last = [], None
            return
        if self.last is None or _cause(self.last) != _cause(outcome):
            self.numbers = []
        self.numbers.append(number)
        self.last = outcome

    @property
    def reached(self) -> bool:
        """Return whether so many trials failed in a row that the study stops."""
        return self.most is not None and len(self.numbers) >= self.most

    def error(self) -> UserError:
        """Return the message that names the cause, the trials and the way out."""
        assert self.last is not None and self.reached
        reason = self.last.reason
        trials = ", ".join(map(str, self.numbers))
        cause = f"{str(reason).replace('_', ' ')}: {shortened(self.last.message, _LONGEST)}"
        known = FailureReason.OUT_OF_MEMORY if self.last.excess else reason
        way_out = f"{_WAY_OUT.get(known, 'Mend the cause')}; the same command goes on from there"
        if UNDEFINED in self.last.message:
            way_out = _UNDEFINED_METRIC
        more = f"{_KEY}=N allows more of them, null any number"
        count = len(self.numbers)
        rule = f"trial {trials} failed" if count == 1 else f"{count} trials in a row ({trials}) failed with one cause"
        return UserError.of(_KEY, f"{rule}, {cause}. {way_out}. {more}")


def _is_beyond(failed: Failed) -> bool:
    """Return whether the trial is beyond a limit that the user set."""
    return bool(failed.excess.keys() - {str(FailureReason.OUT_OF_MEMORY)})


def _cause(failed: Failed) -> tuple[FailureReason, str]:
    """Return what failures with one cause have in common."""
    if failed.excess:
        return failed.reason, FailureReason.OUT_OF_MEMORY
    message = failed.message
    for host in {one.host for one in failed.cost.on_devices} - {""}:
        message = re.sub(rf"(?<![\w.-]){re.escape(host)}(?![\w-])", "HOST", message)
    return failed.reason, _NUMBER.sub("N", _PATH.sub("PATH", message)).lower()
