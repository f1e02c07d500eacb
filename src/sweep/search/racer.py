"""The learning curves of trials over the progress of their schedules, and their comparison."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import inf, isnan, log
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from sweep.search.promotion import EVALUATIONS, RATES, SCHEDULE, is_paused

_LEAST = 1e-9  # progress, whose logarithm is taken


@dataclass(frozen=True)
class Racer:
    """A trial with its evaluations: report steps, progress, and scores of which larger is better.

    The scores are the losses, negated, where all evaluations have one (`by_loss`), and otherwise
    those that were reported; `reported` are always the latter. `length` is that of its schedule in
    report steps, and `rates` the sum of its learning rates over the schedule, None where it is not
    known. `point` has its searched values: numbers from 0 to 1 within their ranges, and the
    names of choices.
    """

    number: int
    steps: tuple[int, ...]
    progress: tuple[float, ...]
    scores: tuple[float, ...]
    reported: tuple[float, ...]
    length: int
    complete: bool
    paused: bool
    running: bool
    by_loss: bool
    rates: float | None = None
    point: Mapping[str, float | str] = field(default_factory=dict)

    @classmethod
    def of(cls, trial: FrozenTrial, *, sign: int, longest: int) -> Racer:
        """Return a trial as a racer. A trial without a known schedule has the `longest` one."""
        steps = tuple(sorted(trial.intermediate_values))
        length = max(int(trial.user_attrs.get(SCHEDULE, longest)), *steps, 1)
        known: dict[str, Any] = trial.user_attrs.get(EVALUATIONS, {})
        found = [known.get(str(step), (step / length, None)) for step in steps]
        reported = tuple(_number(sign * trial.intermediate_values[step]) for step in steps)
        losses = [loss for _, loss in found]
        by_loss = None not in losses
        scores = tuple(_number(-loss) for loss in losses) if by_loss else reported
        progress = tuple(max(float(share), _LEAST) for share, _ in found)
        complete, paused = trial.state is TrialState.COMPLETE, is_paused(trial)
        running = trial.state is TrialState.RUNNING and not paused
        rates = trial.user_attrs.get(RATES)
        point = {key: _place(value, trial.distributions[key]) for key, value in trial.params.items()}
        return cls(
            trial.number, steps, progress, scores, reported, length, complete, paused, running, by_loss, rates, point
        )  # fmt: skip

    @property
    def curve(self) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...], bool]:
        """Return all that comparisons of this racer depend on."""
        return self.progress, self.scores, self.reported, self.by_loss

    @property
    def trained(self) -> int:
        return self.steps[-1] if self.steps else 0

    @property
    def unfinished(self) -> bool:
        return self.running or self.paused

    @property
    def left(self) -> int:
        """Return the report steps that it has not trained yet."""
        return 0 if self.complete else max(0, self.length - self.trained)

    @property
    def reached(self) -> float:
        """Return the progress at its last evaluation."""
        return self.progress[-1] if self.progress else 0.0

    @property
    def best(self) -> float:
        return max(self.reported, default=-inf)

    def went_on(self, progress: float) -> bool:
        """Return whether it has been evaluated again after an evaluation at this progress."""
        return len(self.progress) > 1 and self.progress[-2] >= progress

    def at(self, progress: float, scores: Sequence[float]) -> float:
        """Return its score at a progress between its first and its last evaluation, interpolated
        over the logarithm of progress."""
        above = bisect_left(self.progress, progress)
        if above == 0 or self.progress[above] == progress:
            return scores[above]
        (low, high), (before, after) = self.progress[above - 1 : above + 1], scores[above - 1 : above + 1]
        share = (
            (log(progress) - self._logs[above - 1]) / (self._logs[above] - self._logs[above - 1]) if high > low else 1
        )
        return before if before == after else before + share * (after - before)

    @cached_property
    def _logs(self) -> tuple[float, ...]:
        return tuple(map(log, self.progress))


class KnownRacers:
    """Trials as racers, each made once.

    A storage makes a new object of a trial that changes.
    """

    def __init__(self) -> None:
        # By number, each with the longest schedule where its own is not known.
        self._known: dict[int, tuple[FrozenTrial, int | None, Racer]] = {}

    def of(self, trials: Sequence[FrozenTrial], direction: StudyDirection) -> list[Racer]:
        """Return the trials that did not fail, of a study with this direction, as racers."""
        sign = 1 if direction == StudyDirection.MAXIMIZE else -1
        longest = max((step for trial in trials for step in trial.intermediate_values), default=1)
        found = []
        for trial in (trial for trial in trials if trial.state is not TrialState.FAIL):
            known = self._known.get(trial.number)
            if known is None or known[0] is not trial or known[1] not in (None, longest):
                supposed = None if SCHEDULE in trial.user_attrs else longest
                known = trial, supposed, Racer.of(trial, sign=sign, longest=longest)
                self._known[trial.number] = known
            found.append(known[2])
        return found


def lead(one: Racer, other: Racer, *, late: float = 1.0) -> float | None:
    """Return by how much the first one is ahead, at the furthest progress that both have reached.

    None where one had got further than that at its first evaluation. From the progress `late` on,
    and where one of the two has no losses, the reported scores are compared instead of the losses.
    """
    if not one.steps or not other.steps:
        return None
    common = min(one.reached, other.reached)
    if common < max(one.progress[0], other.progress[0]):
        return None
    if common >= late or not (one.by_loss and other.by_loss):
        mine, theirs = one.at(common, one.reported), other.at(common, other.reported)
    else:
        mine, theirs = one.at(common, one.scores), other.at(common, other.scores)
    return 0.0 if mine == theirs else mine - theirs


def _place(value: object, domain: BaseDistribution) -> float | str:
    """Return where a number is in its range, on the logarithmic scale if the range has that. A
    choice is named, since a number among choices has no place in a range."""
    if isinstance(domain, CategoricalDistribution):
        return repr(value)
    assert isinstance(domain, FloatDistribution | IntDistribution) and isinstance(value, int | float)
    low, high, place = (log(one) if domain.log else float(one) for one in (domain.low, domain.high, value))
    return (place - low) / (high - low) if high > low else 0.0


def _number(value: float) -> float:
    return -inf if isnan(value) else value
