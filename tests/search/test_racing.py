"""The trials that racing pauses and promotes, on scores written by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import optuna
import pytest
from optuna.trial import Trial, TrialState

from sweep.search.last_losses import KnownLastLosses
from sweep.search.promotion import EVALUATIONS, PAUSED_AT, RATES, SCHEDULE, Decision
from sweep.search.racer import Racer, lead
from sweep.search.racing import RacingPruner

LENGTH = 40


class Race:
    """A study whose trials report scores at a progress, as a study's trials do."""

    def __init__(self, trials: int = 4, direction: str = "maximize", **options: Any) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.study = optuna.create_study(direction=direction)
        self.trials: list[Trial] = []
        self.options = {
            "trials": trials,
            "opening": 0.05,
            "reduction_factor": 2,
            "budget": 0.5,
            **options,
        }

    @property
    def pruner(self) -> RacingPruner:
        return RacingPruner(**self.options)  # made again for each question, as after a restart

    def begin(self, rates: float | None = None) -> Trial:
        self.trials.append(self.study.ask())
        self.trials[-1].set_user_attr(SCHEDULE, LENGTH)
        self.trials[-1].set_user_attr(RATES, rates)
        return self.trials[-1]

    def report(self, trial: Trial, step: int, score: float, progress: float, loss: float | None = None) -> Decision:
        known = trial.user_attrs.get(EVALUATIONS, {})
        trial.set_user_attr(EVALUATIONS, {**known, str(step): [progress, loss]})
        trial.report(score, step)
        decision = self.pruner.decide(self.study, trial._get_latest_trial())
        if decision is Decision.PAUSE:
            trial.set_user_attr(PAUSED_AT, step)
        return decision

    def promote(self, *, new: bool = False) -> int | None:
        number = self.pruner.promote(self.study, new=new)
        if number is not None:
            self.trials[number].set_user_attr(PAUSED_AT, 0)
        return number

    def opened(self, *scores: float) -> None:
        """Let a trial for each score come to the opening, one after the other."""
        for score in scores:
            self.report(self.begin(), 4, score, 0.06)


def test_a_trial_trains_until_the_opening_and_waits_for_the_others() -> None:
    race = Race(trials=2)
    first = race.begin()
    assert race.report(first, 1, 0.1, 0.01) is Decision.GO_ON, "still before the opening"
    assert race.report(first, 2, 0.2, 0.06) is Decision.PAUSE
    assert race.promote(new=True) is None, "a new point comes first"
    second = race.begin()
    assert race.promote() is None, "the second one trains"
    assert race.report(second, 1, 0.9, 0.02) is Decision.GO_ON


def test_the_best_half_goes_on_to_the_second_rung_and_the_best_one_to_its_end() -> None:
    race = Race(budget=0.4)
    race.opened(0.2, 0.5, 0.4, 0.1)
    assert race.promote() == 1 and race.promote() == 2 and race.promote() is None
    assert race.report(race.trials[1], 12, 0.6, 0.35) is Decision.PAUSE, "the other one has not come as far"
    assert race.report(race.trials[2], 12, 0.7, 0.35) is Decision.GO_ON, "it is the better one now"
    race.report(race.trials[2], LENGTH, 0.8, 1.0)
    race.study.tell(race.trials[2], 0.8)
    assert race.promote() is None, "4 + 12 + 40 + 4 report steps of 0.4 * 160 leave too few"


def test_the_next_one_goes_on_where_the_budget_allows_it_and_stops_where_it_is_behind() -> None:
    race = Race(budget=0.9)
    race.opened(0.2, 0.5, 0.4, 0.1)
    for number in (race.promote(), race.promote()):
        assert number is not None
        race.report(race.trials[number], 12, race.trials[number].number / 10, 0.35)
    best, next_one = race.trials[2], race.trials[1]
    race.report(best, 20, 0.6, 0.6)
    race.report(best, LENGTH, 0.9, 1.0)
    race.study.tell(best, 0.9)
    assert race.promote() == 1, "it was behind, and the budget is not spent"
    assert race.report(next_one, 20, 0.3, 0.6) is Decision.PAUSE, "it is still behind the completed one there"
    assert race.promote() == 0, "the next one in its place"


def test_so_many_complete_whatever_they_cost() -> None:
    race = Race(budget=0.01, finalists=2, reduction_factor=4)
    race.opened(0.2, 0.5, 0.4, 0.1)
    assert race.promote() == 1
    race.report(race.trials[1], 12, 0.6, 0.35)
    assert race.promote() == 2, "beside the best one"
    assert race.promote() is None


def by_loss(*rates: float, scores: Sequence[float] = (), **options: Any) -> Race:
    """Return a race whose trials have come to their first evaluations; their losses are a power of
    the learning that they have done."""
    race = Race(trials=len(rates), **{"opening": None, **options})
    for rate, score in zip(rates, scores or [0.1] * len(rates), strict=True):
        race.report(race.begin(rate), 4, score, 0.06, loss=loss_at(rate * 0.06))
    assert all(trial.user_attrs.get(PAUSED_AT) for trial in race.trials)
    return race


def loss_at(learnt: float) -> float:
    return 2.0 * (1 + learnt) ** -0.5


def test_the_trials_with_the_least_predicted_losses_train_to_their_ends() -> None:
    race = by_loss(1.0, 3.0, 9.0, 2.0, budget=0.65)
    for number in (2, 1):
        assert race.promote() == number
        rates = race.trials[number].user_attrs[RATES]
        race.report(race.trials[number], LENGTH, 0.5, 1.0, loss=loss_at(rates))
        race.study.tell(race.trials[number], 0.5)
    assert race.promote() is None, "40 + 40 + 4 + 4 report steps of 0.65 * 160 allow two"


def test_half_of_the_rows_that_are_left_are_kept_until_the_first_trials_have_shown_their_curves() -> None:
    race = by_loss(1.0, 3.0, 9.0, 2.0, budget=0.65)
    assert race.promote() == 2 and race.promote() is None, "36 + 36 of 104 - 16 report steps are more than half"
    assert race.report(race.trials[2], 36, 0.1, 0.95, loss=loss_at(9.0 * 0.95)) is Decision.GO_ON
    assert race.promote() is None, "4 + 36 of 104 - 48 still are"


def test_a_trial_whose_curve_bends_pauses_and_another_goes_on_in_its_place() -> None:
    race = by_loss(4.0, 1.0, 3.5, budget=0.45)
    assert race.promote() == 0
    assert race.report(race.trials[0], 8, 0.1, 0.4, loss=loss_at(0.02)) is Decision.PAUSE, "it gets worse"
    assert race.promote() in (1, 2)


def test_a_trial_that_cannot_catch_up_trains_no_further_though_the_budget_allows_it() -> None:
    race = by_loss(9.0, 8.5, 0.1, 0.05, budget=0.9)
    assert race.promote() == 0
    for step, share in ((12, 0.3), (24, 0.6), (LENGTH, 1.0)):
        race.report(race.trials[0], step, 0.5, share, loss=loss_at(9.0 * share))
    race.study.tell(race.trials[0], 0.5)
    assert race.promote() == 1, "it may still be as good"
    assert race.promote() is None


def test_a_trial_waits_for_the_best_one_if_it_is_unlikely_to_end_as_low() -> None:
    race = by_loss(9.0, 8.5, *[0.1] * 6, budget=0.9)
    assert race.promote() == 0 and race.promote() == 1
    assert race.promote() is None, "the 36 + 36 + 36 of 288 - 32 report steps would fit"
    race.report(race.trials[0], 12, 0.5, 0.3, loss=loss_at(0.02))
    race.report(race.trials[1], 12, 0.5, 0.3, loss=loss_at(0.02))
    assert race.promote() is not None, "those that led have disappointed"


def test_the_trial_with_the_best_score_completes_though_its_loss_promises_little() -> None:
    race = by_loss(9.0, 8.5, 0.1, 0.05, budget=0.45, scores=(0.1, 0.1, 0.4, 0.3))
    assert race.promote() == 0
    race.report(race.trials[0], LENGTH, 0.35, 1.0, loss=loss_at(9.0))
    race.study.tell(race.trials[0], 0.35)
    assert race.promote() == 2, "40 + 3 * 4 of 72 report steps leave too few, but its score is 0.4"
    assert race.promote() is None, "it trains"
    assert race.report(race.trials[2], 20, 0.2, 0.5, loss=loss_at(0.05)) is Decision.GO_ON
    race.report(race.trials[2], LENGTH, 0.2, 1.0, loss=loss_at(0.1))
    race.study.tell(race.trials[2], 0.4)
    assert race.promote() is None, "no other one is scored higher"


def test_nothing_is_predicted_where_no_trial_fits_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    race = by_loss(9.0, 8.5, 7.0, budget=0.4, finalists=2)
    asked = list[int]()
    of = KnownLastLosses.of
    monkeypatch.setattr(KnownLastLosses, "of", lambda known, racers: asked.append(len(racers)) or of(known, racers))
    assert race.promote() == 0 and asked == [3], "36 of 48 - 12 report steps"
    assert race.promote() == 1 and asked == [3, 3], "no rows are left, but two are to complete"
    assert race.promote() is None and asked == [3, 3]
    assert race.report(race.trials[0], 8, 0.1, 0.4, loss=loss_at(9.0 * 0.4)) is Decision.GO_ON
    assert asked == [3, 3, 3], "it may go on"


def test_an_equal_score_is_not_worth_a_trial() -> None:
    race = by_loss(9.0, 0.1, budget=0.6, scores=(0.1, 0.4))
    assert race.promote() == 0
    race.report(race.trials[0], LENGTH, 0.4, 1.0, loss=loss_at(9.0))
    race.study.tell(race.trials[0], 0.4)
    assert race.promote() is None


def test_a_loss_that_is_no_number_comes_last_but_one_trial_completes() -> None:
    race = Race(trials=2, opening=None)
    for loss in (math.nan, math.nan):
        race.report(race.begin(1.0), 4, 0.1, 0.06, loss=loss)
    assert race.promote() == 0 and race.promote() is None


def test_a_completed_trial_without_scores_is_no_measure() -> None:
    """A trial of an earlier version, or one that another program added, may have none."""
    race = by_loss(1.0, 3.0, 9.0, 2.0)
    race.study.add_trial(optuna.trial.create_trial(value=0.5))
    assert race.promote() == 2


def test_a_pair_is_compared_at_the_furthest_progress_of_both() -> None:
    def racer(number: int, *points: tuple[float, float]) -> Racer:
        shares, scores = zip(*points, strict=True)
        steps = tuple(range(1, len(points) + 1))
        return Racer(
            number, steps, shares, scores, scores, LENGTH, complete=False, paused=True, running=False, by_loss=False
        )

    one, other = racer(0, (0.01, 0.0), (0.1, 0.5)), racer(1, (0.01, 0.1), (0.1, 0.4), (1.0, 0.9))
    assert lead(one, other) == pytest.approx(0.1) and lead(other, one) == pytest.approx(-0.1)
    between = racer(2, (0.01, 0.0), (0.0316228, 0.3))
    assert lead(between, one) == pytest.approx(0.05, abs=1e-5), "halfway on the logarithm of progress"
    assert lead(racer(3, (0.5, 0.9)), one) is None, "it had come further at its first evaluation"


def test_a_trial_without_losses_is_compared_by_the_scores() -> None:
    """One of an earlier version has no evaluations beside its scores."""
    study = optuna.create_study(direction="maximize")
    old, new = study.ask(), study.ask()
    new.set_user_attr(EVALUATIONS, {"1": [0.1, 0.9]})
    for trial, score in ((old, 0.6), (new, 0.8)):
        trial.set_user_attr(SCHEDULE, 10)
        trial.report(score, 1)
    first, second = (Racer.of(trial, sign=1, longest=10) for trial in study.get_trials())
    assert (first.by_loss, second.by_loss) == (False, True)
    assert lead(second, first) == pytest.approx(0.2), "not the loss of 0.9 with the score of 0.6"


def test_a_score_that_is_no_number_is_the_worst() -> None:
    race = Race()
    race.opened(0.3, math.nan, 0.2, 0.1)
    assert race.promote() == 0 and race.promote() == 2


def test_smaller_is_better_where_it_is_minimised() -> None:
    race = Race(direction="minimize", reduction_factor=4)
    race.opened(0.2, 0.5, 0.1, 0.4)
    assert race.promote() == 2


def test_trials_that_failed_are_no_racers_but_have_begun() -> None:
    race = Race(trials=3)
    race.opened(0.2, 0.5)
    race.study.tell(race.begin(), state=TrialState.FAIL)
    assert race.promote() == 1


def test_a_trial_without_progress_is_compared_by_its_share_of_the_steps() -> None:
    found = Racer.of(optuna.trial.create_trial(value=0.5, intermediate_values={5: 0.5}), sign=1, longest=10)
    assert found.progress == (0.5,) and found.left == 0


@pytest.mark.parametrize("options", [{"min_resource": 0}, {"reduction_factor": 1}, {"finalists": -1}, {"budget": 0.0},
                                     {"opening": 2.0}, {"opening": 0.0}])  # fmt: skip
def test_options_without_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        RacingPruner(**options)
