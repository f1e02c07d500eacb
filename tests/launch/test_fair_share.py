"""The fair sharing of trials among workers."""

from __future__ import annotations

from sweep.launch.fair_share import Load, may_have


def loads(*held: int, has_free_slot: bool = True) -> list[Load]:
    return [Load(count, has_free_slot) for count in held]


def test_a_worker_without_a_trial_is_given_one() -> None:
    three = loads(5, 0, 0)
    assert may_have(three[1], three, coming=4, points=1, at_once=None)


def test_no_worker_takes_more_than_its_share_while_others_have_free_slots() -> None:
    two = loads(5, 0)
    assert not may_have(two[0], two, coming=0, points=10, at_once=None)
    assert may_have(two[0], two, coming=0, points=12, at_once=None)  # a share of six


def test_a_worker_whose_slots_are_full_leaves_the_rest_to_the_others() -> None:
    two = [Load(5), Load(2, has_free_slot=False)]
    assert may_have(two[0], two, coming=0, points=10, at_once=None)


def test_workers_that_are_about_to_come_are_counted() -> None:
    one = loads(3)
    assert not may_have(one[0], one, coming=2, points=9, at_once=None)
    assert may_have(one[0], one, coming=2, points=12, at_once=None)


def test_as_many_as_the_study_lets_run_at_once_are_shared_out() -> None:
    three = loads(2, 2, 0)
    assert not may_have(three[0], three, coming=0, points=100, at_once=5), "its share of five among three is two"
    assert may_have(three[0], three, coming=0, points=100, at_once=9)
    assert may_have(three[2], three, coming=0, points=100, at_once=4)


def test_without_a_known_number_trials_go_round() -> None:
    two = loads(1, 1)
    assert may_have(two[0], two, coming=0, points=None, at_once=None)
    two[0].given()
    assert not may_have(two[0], two, coming=0, points=None, at_once=None)
    assert may_have(two[1], two, coming=0, points=None, at_once=None)


def test_a_step_shows_that_an_engine_has_filled_its_slots_unless_it_was_refused() -> None:
    load = Load()
    load.given()
    load.stepped()
    assert not load.has_free_slot
    load.ended()
    assert load.has_free_slot and load.held == 0
    load.refused = True
    load.stepped()
    assert load.has_free_slot
