"""The order of trials by their comparisons in pairs, kept from one evaluation to the next."""

from __future__ import annotations

from collections.abc import Sequence

from sweep.search.racer import Racer, lead


class Ranking:
    """Racers in order, those first that are ahead of the most others (Copeland's rule).

    Of racers that are equal in that, the one with the lower number is first. A pair that cannot be
    compared counts half for each.

    Being ahead is not transitive: each pair is compared at its own progress. All pairs therefore
    count. A ranking remembers what they came to, and compares only those of racers with other
    evaluations than at the last call: the first call takes n (n - 1) / 2 comparisons of n racers,
    and one after a single evaluation 2 (n - 1).
    """

    def __init__(self) -> None:
        self._known: dict[int, Racer] = {}
        self._wins: dict[int, float] = {}

    def of(self, racers: Sequence[Racer]) -> list[Racer]:
        """Return the racers in order. Those of the last call that are not among them are
        forgotten."""
        given = {racer.number: racer for racer in racers}
        for known in tuple(self._known.values()):
            if known.number not in given or known.curve != given[known.number].curve:
                self._take_out(known)
        for racer in racers:
            if racer.number not in self._known:
                self._put_in(racer)
        return sorted(racers, key=lambda racer: (-self._wins[racer.number], racer.number))

    def _put_in(self, racer: Racer) -> None:
        won = 0.0
        for other in self._known.values():
            own, its = _points(racer, other)
            won += own
            self._wins[other.number] += its
        self._known[racer.number], self._wins[racer.number] = racer, won

    def _take_out(self, racer: Racer) -> None:
        del self._known[racer.number], self._wins[racer.number]
        for other in self._known.values():
            self._wins[other.number] -= _points(racer, other)[1]


def _points(one: Racer, other: Racer) -> tuple[float, float]:
    """Return the points of both: 1 for the one that is ahead, half for each where neither is, and
    none where the comparison is no number. Their sums are exact."""
    ahead = lead(one, other) or 0.0
    return (0.5, 0.5) if ahead == 0 else (float(ahead > 0), float(ahead < 0))
