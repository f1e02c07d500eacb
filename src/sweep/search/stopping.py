"""The rules that end a search before it has all its trials (`study.stop`), and the state of a
search that they and the report go by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sweep.config.metrics import BY_TASK, proportion
from sweep.config.objective import LOSS, Objective
from sweep.config.schema import DatasetConfig, Scalar, StudyConfig, Task
from sweep.records.counted import counting
from sweep.records.trial import TrialRecord, best_metrics, ranked
from sweep.search.gain import Gain, expected_gain
from sweep.search.score_error import standard_error


@dataclass(frozen=True, slots=True)
class Outlook:
    """The state of a search, or of one `choice` of `study.compare_by`: how many trials have
    `ended` and `completed`, how many ended since the `best` score was reached, the standard error
    of that score where it is known, and the gain that `more` trials are expected to bring, None
    where that is not known."""

    choice: Scalar
    ended: int
    completed: int
    more: int
    best: float | None
    since_best: int
    error: float | None
    gain: Gain | None


def outlooks(
    records: Sequence[TrialRecord], study: StudyConfig, choices: Sequence[Scalar], scale: Scale, *, wanted: int
) -> tuple[Outlook, ...]:
    """Return the state of each choice of `study.compare_by`, or of the whole search without one,
    and what its trials up to `wanted` in all would bring."""
    key = study.compare_by
    if key is None:
        return (_outlook(None, records, study.objective, scale, wanted - len(counting(records))),)
    found = []
    for place, choice in enumerate(choices):
        own = [record for record in records if record.params.get(key) == choice]
        share = wanted // len(choices) + (place < wanted % len(choices))
        found.append(_outlook(choice, own, study.objective, scale, share - len(counting(own))))
    return tuple(found)


def held_rule(study: StudyConfig, states: Sequence[Outlook]) -> str:
    """Return the key of the rule of `study.stop` that holds in each of these states; empty for
    none. No rule holds before a trial has completed."""
    stop = study.stop
    if not stop.on or not states or not all(one.completed for one in states):
        return ""
    if stop.patience is not None and all(one.since_best >= stop.patience for one in states):
        return "patience"
    if stop.expected_gain is not None and all(_little_left(stop.expected_gain, one) for one in states):
        return "expected_gain"
    return ""


def _little_left(least: float | str, state: Outlook) -> bool:
    bound = state.error if least == "error" else float(least)
    return state.gain is not None and bound is not None and state.gain.expected < bound


def _outlook(choice: Scalar, records: Sequence[TrialRecord], objective: Objective, scale: Scale, more: int) -> Outlook:
    ended = counting(records)
    completed = ranked(ended, objective)
    scores = [objective.of(best_metrics(record)) for record in completed]
    return Outlook(
        choice=choice,
        ended=len(ended),
        completed=len(completed),
        more=max(more, 0),
        best=scores[0] if scores else None,
        since_best=_since(ended, objective, scores[0]) if scores else 0,
        error=scale.error(completed[0]) if completed else None,
        gain=expected_gain(
            [objective.gain(score, 0.0) for score in scores], len(ended), more, scale.room(scores[0]) if scores else 0.0
        ),
    )


def _since(ended: Sequence[TrialRecord], objective: Objective, best: float) -> int:
    """Return how many trials ended after the first that has the best score."""
    place = next(place for place, record in enumerate(ended) if objective.of(best_metrics(record)) == best)
    return len(ended) - place - 1


@dataclass(frozen=True, slots=True)
class Scale:
    """The scores of `study.metric` on `rows` validation rows: their error, and how much better
    they can be.

    The standard error is that of the share of rows that a trial got right, for the metrics of the
    task that lie between 0 and 1: a mean over labels, such as macro F1, is no more certain than
    that. The error of a loss, or of a metric of the user's own, is not known.
    """

    task: Task
    metric: str
    rows: int

    @classmethod
    def of(cls, dataset: DatasetConfig, metric: str, rows: int) -> Scale:
        return cls(dataset.task, metric, rows)

    def error(self, record: TrialRecord) -> float | None:
        """Return the standard error of a trial's score; None where it is not known."""
        share = best_metrics(record).get(f"eval/{proportion(self.task)}")
        known = _is_share(self.task, self.metric) and self.rows and share is not None
        return standard_error(share, self.rows) if known and share is not None else None

    def room(self, best: float) -> float:
        """Return the most by which a score can be better; infinite where there is no bound."""
        return 1 - best if _is_share(self.task, self.metric) else best if self.metric == LOSS else math.inf


def error_is_known(dataset: DatasetConfig, metric: str) -> bool:
    """Return whether the standard error of `study.metric` follows from the number of rows."""
    return _is_share(dataset.task, metric)


def _is_share(task: Task, metric: str) -> bool:
    """Return whether a metric of the task lies between 0 and 1, and is better when higher."""
    return metric != LOSS and metric.removeprefix("eval/") in BY_TASK[task]
