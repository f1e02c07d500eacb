from __future__ import annotations

import pytest

from sweep.config.schema import StudyConfig
from sweep.study.time_left import TimeLeft, Training


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("sweep.study.time_left.time.monotonic", lambda: now[0])
    return now


def train(left: TimeLeft, title: str, steps: int, *, search: bool = True) -> None:
    left.begin(title, Training(0, 10, search), done=0)
    left.step(title, steps)
    if steps == 10:
        left.over(title)


def study(**values: object) -> StudyConfig:
    return StudyConfig.model_validate({"study_name": "toy", **values})


@pytest.mark.parametrize(("values", "groups", "refits", "later"), [
    ({}, 1, False, 1), ({}, 1, True, 2), ({"confirm_seeds": 3, "confirm_top": 2}, 1, False, 7), ({}, 3, True, 6),
])  # fmt: skip
def test_the_trainings_after_the_search_count(clock, values, groups, refits, later):
    left = TimeLeft(study(**values), groups, refits=refits)
    train(left, "trial 0", 10)
    train(left, "trial 1", 10)
    clock[0] += 40  # 2 s a step, 20 s a trial
    train(left, "trial 2", 0)
    assert left.seconds(2, 4) == pytest.approx(40 + later * 20)


def test_after_the_search_only_what_follows_counts(clock):
    left = TimeLeft(study(), refits=True)
    train(left, "trial 0", 0)
    clock[0] += 20
    left.step("trial 0", 10)
    left.over("trial 0")
    train(left, "final", 5, search=False)
    clock[0] += 10
    assert left.seconds(1, 1) == pytest.approx(1.5 * 20)


def test_a_limit_ends_the_search_earlier(clock):
    left = TimeLeft(study(), limit=lambda: 160 - clock[0])
    train(left, "trial 0", 10)
    train(left, "trial 1", 0)
    clock[0] += 40
    assert left.seconds(1, 100) == pytest.approx(20 + 40)


def test_a_budget_of_trials_ends_the_search_earlier(clock):
    left = TimeLeft(study(), most=3)
    train(left, "trial 0", 10)
    train(left, "trial 1", 0)
    clock[0] += 40  # 40 s a trial
    assert left.seconds(1, 100) == pytest.approx(80 + 40)
    left.part = 0.02  # of 100 trials: less than the budget allows
    assert left.seconds(1, 100) == pytest.approx(40 + 40)


def test_nothing_is_said_before_enough_was_trained(clock):
    left = TimeLeft(study())
    assert left.seconds(0, 4) is None
    train(left, "trial 0", 0)
    clock[0] += 40
    assert left.seconds(0, 4) is None


def test_steps_before_a_stop_were_not_trained_by_this_process(clock):
    left = TimeLeft(study())
    left.begin("trial 3", Training(8, 10, search=True), done=3)
    clock[0] += 4
    left.step("trial 3", 10)
    assert left.steps == 2


def test_the_head_start_of_a_trial_that_was_taken_up_says_nothing_of_the_speed(clock):
    left = TimeLeft(study())
    left.begin("trial 3", Training(8, 10, search=True), done=3)
    clock[0] += 4  # 2 s a step, 20 s a trial
    left.step("trial 3", 10)
    left.over("trial 3")
    assert left.seconds(4, 5) == pytest.approx(20 + 20)


def test_a_paused_trial_counts_with_what_it_trained(clock):
    """Of four trials racing trains half: two whole ones."""
    left = TimeLeft(study(), part=0.5)
    for number in (0, 1):
        train(left, f"trial {number}", 3)
        left.put_aside(f"trial {number}", 0.3)
        left.over(f"trial {number}")
    train(left, "trial 2", 4)
    clock[0] += 20  # 2 s a step, 20 s a trial
    assert left.seconds(0, 4) == pytest.approx(20 + 20)
    left.begin("trial 0", Training(3, 10, search=True), done=0)  # it goes on
    assert left.seconds(0, 4) == pytest.approx(20 + 20)


def test_what_an_earlier_process_trained_of_a_paused_trial_is_done(clock):
    left = TimeLeft(study(), part=0.5)
    left.put_aside("trial 0", 0.5)
    left.begin("trial 1", Training(0, 10, search=True), done=0)
    clock[0] += 10
    left.step("trial 1", 5)
    assert left.seconds(0, 4) == pytest.approx(20 + 20)
    left.over("trial 1")
    left.over("trial 0")
    assert not left.aside
