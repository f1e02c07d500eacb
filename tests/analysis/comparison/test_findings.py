"""The numbers behind the key points, on runs whose mistakes are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from sweep.analysis.comparison.comparison import Comparison, compare
from sweep.analysis.comparison.findings import findings
from sweep.analysis.comparison.methods import Entry
from sweep.records.store import Store

from .conftest import answers, settings


def test_the_best_method_leads_the_next_one(comparison: Comparison) -> None:
    found = findings(comparison)
    assert found.lead is not None and found.tied == ()
    assert (found.lead.first, found.lead.second) == ("good", "fair")
    assert found.lead.score - found.lead.next_score == pytest.approx(7 / 60)
    assert found.lead.interval[0] < 7 / 60 < found.lead.interval[1]
    assert found.lead.p == comparison.p(comparison.pair("good", "fair"))
    assert len(found.different) + len(found.alike) == len(comparison.pairs)


def test_the_interval_is_turned_where_the_pair_is_named_the_other_way_round(three: tuple[Entry, ...]) -> None:
    forward, back = (findings(compare(entries, samples=200)).lead for entries in (three[:2], three[1::-1]))
    assert forward is not None and back is not None
    assert (back.first, back.interval[0] < 7 / 60 < back.interval[1]) == ("good", True)


def test_methods_that_share_the_best_score_are_tied(make: Callable[..., Store]) -> None:
    stores = [make("one", answers([0, 1])), make("two", answers([2, 3])), make("three", answers([0, 1, 2]))]
    found = findings(compare([Entry(store.root) for store in stores], samples=200))
    assert (found.tied, found.lead, found.best_score) == (("one", "two"), None, pytest.approx(58 / 60))


def test_a_price_is_a_multiple_of_the_cheapest_ones(comparison: Comparison) -> None:
    parameters, seconds = findings(comparison).prices
    assert (parameters.cost, parameters.cheapest, parameters.times) == ("trained parameters", "poor", 900)
    assert seconds.times == pytest.approx(900)


def test_nothing_is_a_multiple_of_no_cost(make: Callable[..., Store]) -> None:
    stores = [make("dear", answers([]), trained=100), make("free", answers([1, 2]), trained=0)]
    prices = findings(compare([Entry(store.root) for store in stores], samples=200)).prices
    assert [price.times for price in prices] == [None, None]
    swapped = [make("cheap", answers([]), trained=0), make("more", answers([1, 2]), trained=5)]
    assert [price.times for price in findings(compare([Entry(s.root) for s in swapped], samples=200)).prices] == [1, 1]


def test_fronts_part_the_methods_best_first(comparison: Comparison) -> None:
    for front in findings(comparison).fronts:
        assert (front.inside, front.outside) == (("good", "poor"), ("fair",))


def test_caveats_are_empty_where_methods_are_alike(comparison: Comparison, make: Callable[..., Store]) -> None:
    assert not any((one := findings(comparison).caveats, one.trials, one.bases, one.refitted, one.read_again)[1:])
    base = settings("drawn").model
    drawn = settings("drawn").model_copy(update={"model": base.model_copy(update={"init": "random"})})
    stores = [make("plain", answers([0])), make("drawn", answers([1]), config=drawn)]
    final = stores[1].final()
    assert final is not None
    stores[1].write_final(replace(final, test_readings=2))
    caveats = findings(compare([Entry(store.root) for store in stores], samples=200)).caveats
    assert [(base.method, base.drawn, base.shrunk) for base in caveats.bases] == [
        ("plain", False, False), ("drawn", True, False),
    ]  # fmt: skip
    assert caveats.read_again == ("drawn",)


def test_the_best_guess_names_the_methods_that_are_not_above_it(make: Callable[..., Store]) -> None:
    stores = [make("good", answers([0])), make("lost", answers(list(range(42))))]
    guess = findings(compare([Entry(store.root) for store in stores], samples=200)).guess
    assert guess is not None and guess.score == pytest.approx(1 / 3)
    assert guess.not_above == ("lost",)
