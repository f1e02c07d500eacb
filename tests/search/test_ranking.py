"""The order of racers, against all comparisons made anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf
from random import Random

import pytest

from sweep.search.racer import Racer, lead
from sweep.search.ranking import Ranking


def racer(number: int, progress: Sequence[float], scores: Sequence[float], *, by_loss: bool = False) -> Racer:
    steps = tuple(range(1, len(scores) + 1))
    return Racer(
        number, steps, tuple(progress), tuple(scores), tuple(scores[::-1]), length=40, complete=False, paused=True,
        running=False, by_loss=by_loss,
    )  # fmt: skip


def anew(racers: Sequence[Racer]) -> list[int]:
    """Return the numbers in order, by the definition of Copeland's rule."""

    def wins(one: Racer) -> float:
        leads = [lead(one, other) or 0.0 for other in racers if other is not one]
        return sum(1.0 if ahead > 0 else 0.5 if ahead == 0 else 0.0 for ahead in leads)

    return [one.number for one in sorted(racers, key=lambda one: (-wins(one), one.number))]


def drawn(draw: Random, number: int, evaluations: int) -> Racer:
    """Return a racer with equal scores, crossings and scores that are no number among the others'."""
    progress = sorted(draw.choice((0.01, 0.03, 0.1, draw.random(), 1.0)) for _ in range(evaluations))
    scores = [draw.choice((-inf, 0.25, 0.5, draw.random(), draw.random())) for _ in progress]
    return racer(number, progress, scores, by_loss=draw.random() < 0.8)


@pytest.mark.parametrize("seed", range(8))
def test_the_order_is_that_of_all_pairs_whatever_was_known_before(seed: int) -> None:
    draw, ranking = Random(seed), Ranking()
    racers = {number: drawn(draw, number, draw.randrange(4)) for number in range(12)}
    for _ in range(40):
        match draw.randrange(6):
            case 0:
                racers.pop(draw.choice(list(racers)) if len(racers) > 2 else -1, None)
            case 1:
                number = draw.randrange(16)
                racers[number] = drawn(draw, number, draw.randrange(4))
            case 2:  # it goes on, and its evaluations are those of before
                number = draw.choice(list(racers))
                racers[number] = replace(racers[number], running=True, paused=False)
            case _:
                number = draw.choice(list(racers))
                racers[number] = drawn(draw, number, draw.randrange(1, 6))
        given = list(racers.values())
        draw.shuffle(given)
        assert [one.number for one in ranking.of(given)] == anew(given)


def test_only_pairs_of_racers_that_were_evaluated_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []

    def counted(one: Racer, other: Racer) -> float | None:
        asked.append((one.number, other.number))
        return lead(one, other)

    monkeypatch.setattr("sweep.search.ranking.lead", counted)
    racers, ranking = [racer(number, (0.1,), (number / 10,)) for number in range(10)], Ranking()
    assert [one.number for one in ranking.of(racers)] == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    assert len(asked) == 45
    asked.clear()
    assert ranking.of(racers)[0] is racers[9] and not asked
    racers[3] = racer(3, (0.1, 0.2), (0.95, 0.96))
    assert [one.number for one in ranking.of(racers)][:2] == [3, 9]
    assert len(asked) == 18 and all(3 in pair for pair in asked)


def test_the_racer_of_a_later_call_is_returned() -> None:
    ranking, one = Ranking(), racer(0, (0.1,), (0.5,))
    ranking.of([one])
    assert ranking.of([replace(one, paused=False)])[0].paused is False
