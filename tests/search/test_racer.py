"""Racers that are made once, and again where their trials change."""

from __future__ import annotations

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from sweep.search.promotion import SCHEDULE
from sweep.search.racer import KnownRacers


def trials(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False)


def test_a_racer_is_made_again_only_where_its_trial_has_changed() -> None:
    study = optuna.create_study(direction="maximize")
    for _ in range(2):
        study.ask().report(0.5, 1)
    known = KnownRacers()
    before = known.of(trials(study), StudyDirection.MAXIMIZE)
    optuna.Trial(study, 1).report(0.75, 2)
    after = known.of(trials(study), StudyDirection.MAXIMIZE)
    # The longest schedule, which both are measured by, is another one now.
    assert [racer.steps for racer in after] == [(1,), (1, 2)] and after[0].progress == (0.5,)
    study.tell(1, 0.75)
    last = known.of(trials(study), StudyDirection.MAXIMIZE)
    assert last[0] is after[0] and last[1].complete and before[0].progress == (1.0,)


def test_a_racer_with_a_schedule_is_kept_where_another_trial_gets_further() -> None:
    study = optuna.create_study(direction="maximize")
    for _ in range(2):
        trial = study.ask()
        trial.set_user_attr(SCHEDULE, 4)
        trial.report(0.5, 1)
    known = KnownRacers()
    before = known.of(trials(study), StudyDirection.MAXIMIZE)
    optuna.Trial(study, 1).report(0.75, 2)
    after = known.of(trials(study), StudyDirection.MAXIMIZE)
    assert after[0] is before[0] and after[0].progress == (0.25,) and after[1].progress == (0.25, 0.5)


def test_trials_that_failed_are_no_racers() -> None:
    study = optuna.create_study(direction="minimize")
    study.ask().report(0.5, 1)
    study.tell(study.ask(), state=TrialState.FAIL)
    (racer,) = KnownRacers().of(trials(study), StudyDirection.MINIMIZE)
    assert racer.scores == (-0.5,)
