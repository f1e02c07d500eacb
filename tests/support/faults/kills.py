"""A plan of signals at random moments of a study, the same for the same seed."""

from __future__ import annotations

import math
import random
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from support.faults.processes import Kind
from support.faults.study import Study

_TWICE = 2  # a point that is lost three times is given up, so that none is killed more often than this
_GENTLE = (signal.SIGTERM, signal.SIGINT, signal.SIGSTOP)
_GENTLE_SHARE = 0.25  # of the signals to the coordinator that come beside the kills


class Moment(StrEnum):
    """What a signal waits for."""

    START = "the program's start"
    TRAININGS = "trainings"  # the end of so many
    READING = "the note on a test reading"


# Of ten signals, and the shortest and the longest seconds from the moment to the signal. A start
# takes 1 s in one process and 10 s with Ray; a reading of a few rows takes 0.1 s.
_WEIGHTS = {Moment.START: 1.5, Moment.TRAININGS: 7.0, Moment.READING: 1.5}
_DELAYS = {Moment.START: (0.05, 8.0), Moment.TRAININGS: (0.001, 1.5), Moment.READING: (0.001, 0.2)}


@dataclass(frozen=True, slots=True)
class Kill:
    """A signal, `delay` seconds after its moment. `done` is the number of ended trainings that
    `Moment.TRAININGS` waits for. SIGSTOP is followed by SIGCONT after `pause` seconds."""

    moment: Moment
    done: int
    delay: float
    target: Kind
    number: signal.Signals
    pause: float

    @property
    def ends_program(self) -> bool:
        """Return whether the program ends by it, so that the next signal meets another start."""
        return self.target is Kind.COORDINATOR and self.number is not signal.SIGSTOP

    def __str__(self) -> str:
        after = f"{self.done} trainings" if self.moment is Moment.TRAININGS else str(self.moment)
        return f"{self.number.name} to the {self.target}, {self.delay:.3f} s after {after}"


def planned(study: Study, targets: Sequence[Kind], *, seed: int, count: int) -> list[Kill]:
    """Return `count` times SIGKILL, spread over the trainings of the study, its test reading, its
    end and the starts of the program, in their order; among them some gentler signals to the
    coordinator."""
    draw = random.Random(seed)
    kills = []
    for _ in range(count):
        target = draw.choice(list(targets))
        kills.append(_drawn(draw, study, target, signal.SIGKILL))
        if target is Kind.COORDINATOR and draw.random() < _GENTLE_SHARE:
            kills.append(_drawn(draw, study, target, draw.choice(_GENTLE)))
    later = sorted((kill for kill in kills if kill.moment is not Moment.START), key=lambda kill: _order(study, kill))
    for kill in kills:
        if kill.moment is Moment.START:
            starts = [0, *(index + 1 for index, before in enumerate(later) if before.ends_program)]
            later.insert(draw.choice(starts), kill)
    return later


def _drawn(draw: random.Random, study: Study, target: Kind, number: signal.Signals) -> Kill:
    # No worker is there at the start. The handlers of signals are not, either.
    early = target is not Kind.WORKER and number is signal.SIGKILL
    moments = [moment for moment in Moment if early or moment is not Moment.START]
    (moment,) = draw.choices(moments, weights=[_WEIGHTS[one] for one in moments])
    shortest, longest = _DELAYS[moment]
    delay = math.exp(draw.uniform(math.log(shortest), math.log(longest)))
    done = draw.randint(0, study.trainings) if moment is Moment.TRAININGS else 0
    return Kill(moment, done, delay, target, number, pause=draw.uniform(0.1, 2.0))


def _order(study: Study, kill: Kill) -> float:
    """Return the place of a signal: the test is read between the last training and its record."""
    return study.trainings - 0.5 if kill.moment is Moment.READING else kill.done


def too_often(name: str, killed: Sequence[str]) -> bool:
    """Return whether the training that runs, by the state of the study, was killed twice."""
    return list(killed).count(name) >= _TWICE
