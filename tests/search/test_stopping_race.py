"""The trials that a race stops for good, on scores written by hand."""

from __future__ import annotations

import math
import random
from typing import Any, Literal

import optuna
import pytest
from optuna.trial import Trial, TrialState

from sweep.search.stopping_race import StoppingRace
from sweep.study.trial_groups import is_stopped


def study(direction: Literal["minimize", "maximize"] = "maximize", finalists: int = 1, **options: Any) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(direction=direction, pruner=StoppingRace(finalists=finalists, **options))


def reported(trial: Trial, **scores: float) -> bool:
    """Return whether the trial is to stop after its scores at steps e1, e2, …"""
    for step, score in scores.items():
        trial.report(score, int(step[1:]))
    return trial.should_prune()


def ended(asked: optuna.Study, *scores: float, state: TrialState = TrialState.COMPLETE) -> Trial:
    trial = asked.ask()
    for step, score in enumerate(scores, 1):
        trial.report(score, step)
    asked.tell(trial, max(scores) if state is TrialState.COMPLETE else None, state=state)
    return trial


def test_a_third_goes_on_at_the_first_rung_and_at_least_one() -> None:
    race = study()
    ended(race, 0.5, 0.6)
    assert reported(race.ask(), e1=0.4)
    for score in (0.1, 0.2, 0.3, 0.4):
        ended(race, score, state=TrialState.PRUNED)
    assert not reported(race.ask(), e1=0.45), (
        "second of seven, of which 2.33 stay: two may be better, and three stop it"
    )


@pytest.mark.parametrize("finalists", [1, 2, 3])
def test_so_many_at_least_go_on_at_every_rung(finalists: int) -> None:
    for better, score in enumerate((0.75, 0.65, 0.55), 1):
        race = study(finalists=finalists)
        for other in (0.5, 0.6, 0.7, 0.8):
            ended(race, other, other, other)
        assert reported(race.ask(), e1=0.9, e2=score) is (better >= finalists)


def test_half_as_many_go_on_at_each_later_rung() -> None:
    race = study(reduction_factor=2)
    for score in (0.5, 0.6, 0.7):
        ended(race, score, score, score, score)
    second = race.ask()
    assert not reported(second, e1=0.65), "one of four is better, two stay"
    assert reported(second, e2=0.65), "one of four stays"


def test_between_rungs_a_trial_is_left_alone() -> None:
    race = study()
    ended(race, 0.5, 0.5, 0.9, 0.9)
    assert not reported(race.ask(), e1=0.6, e2=0.6, e3=0.6)


def test_a_trial_that_was_first_to_report_is_stopped_once_the_others_have() -> None:
    race = study()
    early, late = race.ask(), race.ask()
    assert not reported(early, e1=0.4)
    assert not reported(late, e1=0.6)
    assert reported(early, e2=0.9), "behind at the rung that both have passed"


def test_it_is_not_stopped_for_one_that_left_the_race_later() -> None:
    race = study()
    early, late, other = race.ask(), race.ask(), race.ask()
    reported(early, e1=0.4)
    reported(late, e1=0.6)
    reported(other, e1=0.1)
    race.tell(late, state=TrialState.PRUNED)
    assert not reported(early, e2=0.5)


def test_the_last_one_is_not_stopped_before_any_has_ended() -> None:
    race = study()
    ended(race, 0.9, state=TrialState.PRUNED)
    last = race.ask()
    assert not reported(last, e1=0.1)


def test_a_rung_passed_in_the_warmup_stops_nobody_later() -> None:
    """At the first evaluation it is behind, within its warmup; afterwards it is level with the
    best."""
    race = study()
    ended(race, 0.9, 0.9, 0.9, 0.9)
    slow = race.ask()
    for step, score in enumerate((0.1, 0.9, 0.9, 0.9), 1):
        slow.report(score, step)
        assert not is_stopped(slow, step, warm=step > 1)
    other = race.ask()
    other.report(0.1, 1)
    assert is_stopped(other, 1, warm=True), "without a warmup that score stops it"


def test_a_trial_is_stopped_after_its_warmup_by_the_rungs_behind_it() -> None:
    race = study()
    ended(race, 0.9, 0.9, 0.9, 0.9)
    slow = race.ask()
    for step in (1, 2, 3):
        slow.report(0.1, step)
        assert not is_stopped(slow, step, warm=False)
    slow.report(0.1, 4)
    assert is_stopped(slow, 4, warm=True)


def survivors(finalists: int, trials: int, slots: int, draw: random.Random) -> int:
    """Return the number of trials that survive, with random scores in a random order."""
    race, running, asked, left = study(finalists=finalists), [], 0, trials
    while running or asked < trials:
        while len(running) < slots and asked < trials:
            running.append((race.ask(), iter((1, 2, 4, 8)), draw.choice((0, 0, 1, 2))))
            asked += 1
        trial, steps, warmup = one = draw.choice(running)
        if (step := next(steps, None)) is None:
            race.tell(trial, draw.random())
            running.remove(one)
            continue
        trial.report(draw.random(), step)
        if is_stopped(trial, step, warm=step > warmup):
            race.tell(trial, state=TrialState.PRUNED)
            running.remove(one)
            left -= 1
    return left


def test_so_many_come_to_their_end_whatever_they_score() -> None:
    draw = random.Random(0)
    for trials in (4, 6, 9):
        for slots in (1, 3, trials):
            assert min(survivors(trials // 2, trials, slots, draw) for _ in range(20)) >= trials // 2


def test_smaller_is_better_where_it_is_minimised() -> None:
    race = study("minimize")
    ended(race, 0.5)
    assert not reported(race.ask(), e1=0.4) and reported(race.ask(), e1=0.6)


def test_a_score_that_is_no_number_is_the_worst() -> None:
    race = study()
    ended(race, 0.1)
    assert reported(race.ask(), e1=math.nan)


def test_nothing_is_judged_before_the_first_rung() -> None:
    race = study(min_resource=2)
    ended(race, 0.9, 0.9)
    trial = race.ask()
    assert not trial.should_prune() and not reported(trial, e1=0.1)
    assert reported(trial, e2=0.1)


def test_an_evaluation_after_a_rung_counts_for_it() -> None:
    """With larger batches, evaluations every so many steps come after every other count."""
    race = study()
    ended(race, 0.5, 0.8, 0.9)
    assert reported(race.ask(), e3=0.7) and not reported(race.ask(), e3=0.95)


@pytest.mark.parametrize("options", [{"min_resource": 0}, {"reduction_factor": 1}, {"finalists": 0}])
def test_options_without_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        StoppingRace(**options)
