"""A plan of signals at random moments of a study, the same for the same seed."""

from __future__ import annotations

import math
import random
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from support.faults.processes import Kind
from support.faults.study import Study

_SHORTEST, _LONGEST = 0.001, 1.5  # seconds between a moment of the study and the signal
_TWICE = 2  # a point that is lost three times is given up, so that none is killed more often than this


@dataclass(frozen=True, slots=True)
class Kill:
    """A signal, `delay` seconds after the study has ended `done` of its trainings. SIGSTOP is
    followed by SIGCONT after `pause` seconds."""

    done: int
    delay: float
    target: Kind
    number: signal.Signals
    pause: float

    def __str__(self) -> str:
        return f"{self.number.name} to the {self.target}, {self.delay:.3f} s after {self.done} trainings"


def planned(study: Study, targets: Sequence[Kind], *, seed: int, count: int) -> list[Kill]:
    """Return `count` kills in the order of their moments, spread over the trainings of the study
    and its end.

    Six of ten are SIGKILL; other processes than the coordinator receive nothing else.
    """
    draw = random.Random(seed)
    moments = sorted(draw.choices(range(study.trainings + 1), k=count))
    kills = []
    for done in moments:
        target = draw.choice(list(targets))
        gentle = (signal.SIGTERM, signal.SIGINT, signal.SIGSTOP)
        own = target is Kind.COORDINATOR and draw.random() > 0.6
        number = draw.choice(gentle) if own else signal.SIGKILL
        delay = math.exp(draw.uniform(math.log(_SHORTEST), math.log(_LONGEST)))
        kills.append(Kill(done, delay, target, number, pause=draw.uniform(0.1, 2.0)))
    return kills


def ended_trainings(run: Path) -> list[str]:
    """Return a name for each training of the study that has a record."""
    patterns = ("trials/*/record.json", "confirm/*.json", "retrained/*/record.json", "final/record.json")
    return [str(path.relative_to(run)) for pattern in patterns for path in sorted(run.glob(pattern))]


def too_often(name: str, killed: Sequence[str]) -> bool:
    """Return whether the training that runs, by the state of the study, was killed twice."""
    return list(killed).count(name) >= _TWICE
