"""The predicted last losses of trials, on curves that are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import exp, inf, log
from random import Random

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from sweep.search import last_losses as module
from sweep.search.last_losses import KnownLastLosses, last_losses
from sweep.search.racer import Racer


def racer(
    number: int,
    progress: Sequence[float],
    losses: Sequence[float],
    *,
    rates: float | None = 1.0,
    complete: bool = False,
    point: Mapping[str, float | str] | None = None,
) -> Racer:
    scores = tuple(-loss for loss in losses)
    return Racer(
        number, tuple(range(1, len(losses) + 1)), tuple(progress), scores, scores, length=40, complete=complete,
        paused=not complete, running=False, by_loss=True, rates=rates, point=point or {},
    )  # fmt: skip


def common(number: int, rates: float, *progress: float, factor: float = 1.0) -> Racer:
    """Return a racer on the curve 2 / sqrt(learning done) that all share, or `factor` times it."""
    return racer(number, progress, [factor * 2 * (rates * share) ** -0.5 for share in progress], rates=rates)


def test_the_curve_that_all_share_is_extrapolated() -> None:
    racers = [common(number, rates, 0.02, 0.05) for number, rates in enumerate((1.0, 2.0, 5.0, 10.0, 30.0))]
    found = last_losses(racers)
    for one in racers:
        assert one.rates is not None
        assert found[one.number].mean == pytest.approx(log(2 * one.rates**-0.5), abs=0.6)
        assert found[one.number].mean < log(-one.scores[-1]) - 0.9, "at its end it has learnt 20 times as much"
    means = [found[number].mean for number in range(5)]
    assert means == sorted(means, reverse=True), "more learning ends lower"


def test_a_trial_above_the_shared_curve_ends_above_it() -> None:
    others = [common(number, rates, 0.02, 0.05) for number, rates in enumerate((1.0, 2.0, 5.0, 10.0))]
    found = last_losses([*others, common(8, 4.0, 0.02, 0.05, factor=1.5), common(9, 4.0, 0.02, 0.05)])
    assert found[8].mean > found[9].mean + 0.05


def test_a_trial_that_has_trained_far_corrects_and_assures_the_others() -> None:
    openings = [common(number, rates, 0.05) for number, rates in enumerate((1.0, 2.0, 4.0))]
    far = (0.05, 0.1, 0.3, 0.6, 1.0)
    flat = racer(9, far, [max(2.0, 2 * (4.0 * share) ** -0.5) for share in far], rates=4.0, complete=True)
    before, after = last_losses(openings), last_losses([*openings, flat])
    assert 9 not in after, "it has ended"
    assert abs(before[2].mean - log(2)) > 0.3 and after[2].mean == pytest.approx(log(2), abs=0.1)
    assert after[2].deviation < 0.6 * before[2].deviation


def test_near_points_deviate_alike() -> None:
    others = [common(number, 3.0, 0.02, 0.05) for number in range(3)]
    bad = racer(5, (0.02, 0.05, 0.5), [9.0, 6.0, 4.0], rates=3.0, point={"rate": 0.9, "kind": "a"})
    near = common(6, 3.0, 0.5)
    points: list[dict[str, float | str]] = [{"rate": 0.9, "kind": "a"}, {"rate": 0.1, "kind": "b"}]
    found = [racer(6 + at, near.progress, [-near.scores[0]], rates=3.0, point=point) for at, point in enumerate(points)]
    predicted = last_losses([*others, bad, *found])
    assert predicted[6].mean > predicted[7].mean


def test_numbers_among_choices_are_as_far_apart_as_names() -> None:
    def predicted(one: object, other: object) -> list[float]:
        domain = CategoricalDistribution([one, other])  # type: ignore[list-item]
        trials = [
            optuna.trial.create_trial(value=0.5, params={"key": value}, distributions={"key": domain})
            for value in (one, other, one)
        ]
        points = [Racer.of(trial, sign=1, longest=1).point for trial in trials]
        losses = (1.9, 1.2, 1.6)
        found = last_losses([racer(at, (0.1,), (losses[at],), point=point) for at, point in enumerate(points)])
        return [found[at].mean for at in range(3)]

    assert predicted(1e-5, 1e-3) == predicted("one", "other") == predicted(True, 1)


def test_numbers_that_some_points_lack_are_still_near_each_other() -> None:
    others = [replace(common(number, 3.0, 0.02, 0.05), point={"kind": "b"}) for number in range(3)]
    bad = racer(5, (0.02, 0.05, 0.5), [9.0, 6.0, 4.0], rates=3.0, point={"kind": "a", "rank": 0.5})

    def predicted(rank: float) -> float:
        asked = replace(common(6, 3.0, 0.5), point={"kind": "a", "rank": rank})
        return last_losses([*others, bad, asked])[6].mean

    assert predicted(0.5) > predicted(0.51) > predicted(1.0)


def test_a_loss_that_is_no_number_has_no_prediction() -> None:
    found = last_losses([common(0, 1.0, 0.1), racer(1, (0.1, 0.2), (2.0, inf)), racer(2, (), ())])
    assert set(found) == {0}
    assert last_losses([racer(1, (0.1,), (inf,))]) == {}


def test_without_the_sums_of_rates_equal_rates_are_supposed() -> None:
    known = [racer(number, (0.1, 0.2), (3.0 - number, 2.0 - number / 2), rates=40.0) for number in range(2)]
    unknown = [racer(number, (0.1, 0.2), (3.0 - number, 2.0 - number / 2), rates=None) for number in range(2)]
    assert last_losses([known[0], unknown[1]]) == last_losses(unknown) == last_losses(known)


def test_many_evaluations_are_thinned(monkeypatch: pytest.MonkeyPatch) -> None:
    racers = [common(number, rates, 0.02, 0.05, 0.1, 0.2) for number, rates in enumerate((1.0, 3.0, 9.0))]
    whole = last_losses(racers)
    monkeypatch.setattr(module, "_MOST", 6)  # the first and the last one of each
    found = last_losses(racers)
    assert found != whole and all(found[number].mean == pytest.approx(whole[number].mean, abs=0.2) for number in whole)


def test_of_very_many_evaluations_only_last_ones_count(monkeypatch: pytest.MonkeyPatch) -> None:
    def bent(number: int, first: float) -> Racer:
        return racer(number, (0.02, 0.05), (first, 2.0 - number / 10), rates=number + 1.0)

    racers, others = ([bent(number, first) for number in range(4)] for first in (3.0, 2.9))
    assert last_losses(racers) != last_losses(others)
    monkeypatch.setattr(module, "_MOST", 7)
    assert last_losses(racers) == last_losses(others)


def test_of_very_many_trials_those_that_went_on_and_some_others_teach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST", 4)
    paused = [common(number, 1.0 + number, 0.05) for number in range(8)]
    ended = racer(9, (0.05, 1.0), (2.0, 1.0), rates=3.0, complete=True)
    running = replace(common(8, 9.0, 0.05, 0.3), paused=False, running=True)
    found = last_losses([*paused, ended, running])
    assert sorted(found) == list(range(9)), "all are predicted"
    taught = set()
    for place, one in enumerate(paused):
        changed = replace(one, scores=(one.scores[0] - 0.5,))
        if last_losses([*paused[:place], changed, *paused[place + 1 :], ended, running]) != found:
            taught.add(place)
    assert taught == {0, 4}
    assert last_losses([*paused, replace(ended, scores=(-2.0, -1.5)), running]) != found
    assert last_losses([*paused, ended, replace(running, scores=(-4.0, -3.0))]) != found


def order(racers: Sequence[Racer]) -> list[int]:
    found = last_losses(racers)
    return sorted(found, key=lambda number: (found[number].mean, number))


@pytest.mark.parametrize(("openings", "power", "loss"), [(20, 0.5, 10.0), (6, 0.2, 3.0)])
def test_a_diverging_trial_leaves_the_order_of_the_others_as_it_is(openings: int, power: float, loss: float) -> None:
    def opened(number: int, rates: float, *progress: float, complete: bool = False) -> Racer:
        losses = [1.1 * (1 + rates * share) ** -power for share in progress]
        return racer(number, progress, losses, rates=rates, complete=complete)

    racers = [opened(number, 1.0 + 7 * number % openings, 0.06) for number in range(openings)]
    racers.append(opened(openings, 4.0, 0.06, 0.3, 1.0, complete=True))
    diverging = racer(openings + 1, (0.06,), (loss,), rates=8.0)
    assert [number for number in order([*racers, diverging]) if number <= openings] == order(racers)


def test_losses_that_differ_much_all_count() -> None:
    """The highest is five times the median, but no exception."""
    racers = [racer(number, (0.05,), (loss,), rates=3.0) for number, loss in enumerate((0.2, 0.5, 1.0, 2.0, 5.0))]
    higher = replace(racers[-1], scores=(-5.1,))
    assert last_losses([*racers[:-1], higher])[0] != last_losses(racers)[0]


def test_equal_trials_come_out_by_number() -> None:
    racers = [racer(number, (0.02, 0.05), (2.0, 1.5), rates=3.0) for number in range(40)]
    assert order([*racers, common(40, 9.0, 0.02, 0.05, 0.2)])[-40:] == list(range(40))
    assert order(racers) == list(range(40))


def test_a_point_is_the_place_of_each_value_in_its_range() -> None:
    trial = optuna.trial.create_trial(
        value=0.5, intermediate_values={1: 0.5}, params={"rate": 1e-3, "epochs": 4, "batch": 8, "one": 2.0},
        distributions={
            "rate": FloatDistribution(1e-4, 1e-2, log=True), "epochs": IntDistribution(2, 6),
            "batch": CategoricalDistribution([8, 16]), "one": FloatDistribution(2.0, 2.0),
        },
    )  # fmt: skip
    point = Racer.of(trial, sign=1, longest=1).point
    assert point == {"rate": pytest.approx(0.5), "epochs": 0.5, "batch": "8", "one": 0.0}


def test_predictions_are_kept_until_a_trial_has_another_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[Sequence[Racer]]()
    monkeypatch.setattr(module, "last_losses", lambda racers, kept: asked.append(racers) or last_losses(racers, kept))
    known, racers = KnownLastLosses(), [common(number, 1.0 + number, 0.02, 0.05) for number in range(4)]
    first = known.of(racers)
    promoted = [replace(racers[0], paused=False, running=True), *racers[1:]]
    assert known.of(promoted) is first and len(asked) == 1
    evaluated = [common(0, 1.0, 0.02, 0.05, 0.3, factor=0.8), *racers[1:]]
    assert known.of(evaluated) == last_losses(evaluated) != first and len(asked) == 2
    assert known.of([*racers[:3], replace(racers[3], paused=False, complete=True)]).keys() == {0, 1, 2}


def test_what_is_kept_of_the_points_changes_no_prediction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST", 5)

    def with_point(one: Racer) -> Racer:
        return replace(one, point={"rate": one.number / 9, "kind": "ab"[one.number % 2]})

    known, racers = KnownLastLosses(), [with_point(common(number, 1.0 + number, 0.05)) for number in range(8)]
    for number in (6, 0, 3):  # each leaves fewer places for others
        racers[number] = with_point(common(number, 1.0 + number, 0.05, 0.3, factor=0.9))
        assert known.of(racers) == last_losses(racers)
    racers.append(with_point(common(9, 3.0, 0.05)))
    assert known.of(racers) == last_losses(racers)


def test_predictions_are_those_of_a_gaussian_process() -> None:
    """Against its definition, pair by pair."""
    draw = Random(3)
    racers = [
        racer(
            number, shares, [2 * (rates * share) ** -0.4 * draw.uniform(0.9, 1.1) for share in shares], rates=rates,
            complete=number == 5, point={"rate": draw.random(), "kind": draw.choice("ab")},
        )
        for number in range(9)
        for rates, shares in [(draw.uniform(2, 6), sorted(draw.uniform(0.3, 1.0) for _ in range(draw.randint(1, 4))))]
    ]  # fmt: skip
    known = [(one, log((one.rates or 0) * share)) for one in racers for share in one.progress]
    asked = [(one, log(one.rates or 0)) for one in racers if not one.complete]
    losses = np.array([log(-score) for one in racers for score in one.scores])
    middle = np.mean([learnt for _, learnt in known])

    def covariance(one: tuple[Racer, float], other: tuple[Racer, float]) -> float:
        (left, at), (right, there) = one, other
        gap, same = (at - there) ** 2 / 2, left.number == right.number
        apart = (float(left.point["rate"]) - float(right.point["rate"])) ** 2
        near = 2 * (apart + (left.point["kind"] != right.point["kind"]))
        return float(
            9 + 0.49 * (at - middle) * (there - middle) + exp(-gap / 1.44) + 0.25 * exp(-gap / 2.25 - near)
            + 0.25 * same * exp(-gap / 4)
        )  # fmt: skip

    within = np.array([[covariance(one, other) for other in known] for one in known])
    within += (0.0025 + 1e-8) * np.eye(len(known))
    across = np.array([[covariance(one, other) for other in asked] for one in known])
    means = losses.mean() + across.T @ np.linalg.solve(within, losses - losses.mean())
    left = [covariance(one, one) for one in asked] - (across * np.linalg.solve(within, across)).sum(axis=0)
    found = last_losses(racers)
    assert [found[one.number].mean for one, _ in asked] == pytest.approx(means, abs=2e-9)
    assert [found[one.number].deviation for one, _ in asked] == pytest.approx(losses.std() * left**0.5, rel=1e-6)
