"""The alerts of a study: at its end, of trials that fail, and of a new best trial."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from sweep.config.schema import StudyConfig
from sweep.errors import shortened
from sweep.records.trial import Failed, FailureReason, TrialRecord
from sweep.track.tracker import Alert

# Seconds in which trials that fail for one reason cause one alert.
QUIET = 3600.0

_ERRORS = (FailureReason.CRASHED, FailureReason.DISK_FAILED)
_LONGEST_NAME, _LONGEST_TEXT = 36, 1000


@dataclass(slots=True)
class Alerts:
    """Makes the alerts of a study of what happens in this process: what an earlier process
    recorded was alerted by it."""

    study: StudyConfig
    send: Callable[[Alert], None]
    clock: Callable[[], float] = time.monotonic
    _sent: dict[FailureReason, float] = field(default_factory=dict)  # when, by reason
    _unsent: Counter[FailureReason] = field(default_factory=Counter)  # failures since then

    def best(self, record: TrialRecord) -> None:
        """Alert of a trial that is the best so far."""
        assert record.best is not None, "only completed trials are the best"
        score = f"{self.study.metric} {record.best.metrics[self.study.metric]:.4f}"
        values = ", ".join(f"{key}={chosen}" for key, chosen in record.params.items())
        self.send(Alert("best", self._title(f"new best, trial {record.number}"), f"{score}: {values}"))

    def failed(self, number: int, outcome: Failed) -> None:
        """Alert of a trial that failed: at most once an hour for each reason. Trials that the user
        stopped, and lost ones that go on, have not failed."""
        reason, now = outcome.reason, self.clock()
        if outcome.again and reason in (FailureReason.INTERRUPTED, FailureReason.LOST):
            return
        if now - self._sent.get(reason, -QUIET) < QUIET:
            self._unsent[reason] += 1
            return
        more = self._unsent.pop(reason, 0)
        since = f" {more} others have failed so since the last alert." if more else ""
        self._sent[reason] = now
        level: Literal["WARN", "ERROR"] = "ERROR" if reason in _ERRORS else "WARN"
        text = shortened(f"Trial {number} failed: {outcome.message or reason}.{since}", _LONGEST_TEXT)
        self.send(Alert("failures", self._title(f"trials fail, {reason}"), text, level, QUIET))

    def ended(self, text: str, *, error: bool = False) -> None:
        """Alert of the end of the study."""
        title = self._title("stopped by an error" if error else "done")
        self.send(Alert("end", title, shortened(text, _LONGEST_TEXT), "ERROR" if error else "INFO"))

    def _title(self, what: str) -> str:
        return f"{shortened(self.study.study_name, _LONGEST_NAME)}: {what}"
