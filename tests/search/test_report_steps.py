"""At equal epochs, whatever the batch size."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import optuna
import pytest

from sweep.config.domains import Choices, Range
from sweep.config.schema import Config, TrainerConfig
from sweep.config.space import Parameter, Space
from sweep.config.steps import evaluation_steps, steps_per_epoch
from sweep.search.report_steps import ReportSteps

ROWS = 800
BATCH, EVERY = "per_device_train_batch_size", "eval_steps"


def config(**trainer: Any) -> Config:
    return Config(trainer=TrainerConfig.model_validate({"num_train_epochs": 2, BATCH: 8, **trainer}))


def searched(**domains: Sequence[int] | Range) -> Space:
    made = [
        Parameter(f"trainer.{name}", domain if isinstance(domain, Range) else Choices(tuple(domain)))
        for name, domain in domains.items()
    ]
    return Space(tuple(made))


def report_steps(space: Space, **trainer: Any) -> ReportSteps:
    base = config(**trainer)
    corners = [base]
    for point in space.corners():
        changed = {key.removeprefix("trainer."): value for key, value in point.items()}
        corners.append(config(**{**trainer, **changed}))
    return ReportSteps.of([corner.trainer for corner in corners], space, ROWS)


def passed(made: ReportSteps, trial: Config) -> list[int]:
    return [made.nearest(trial.trainer, step) for step in evaluation_steps(ROWS, trial.trainer)]


def test_an_evaluation_at_each_epoch_s_end_is_at_that_epoch() -> None:
    each = {"eval_strategy": "epoch", "num_train_epochs": 4}
    made = report_steps(searched(per_device_train_batch_size=(8, 16, 32)), **each)
    assert made.unit == 1
    for batch in (8, 16, 32):
        assert passed(made, config(**{BATCH: batch, **each})) == [1, 2, 3, 4]


@pytest.mark.parametrize("accumulation", [1, 2, 3])
def test_early_evaluations_are_at_the_same_parts_of_an_epoch(accumulation: int) -> None:
    batches = (3, 7, 8, 12, 16, 20)
    shared = {"eval_strategy": "early", "gradient_accumulation_steps": accumulation, "num_train_epochs": 3}
    made = report_steps(searched(per_device_train_batch_size=batches), **shared)
    assert made.unit == Fraction(1, 8)
    for batch in batches:
        trial = config(**{**shared, BATCH: batch})
        steps = steps_per_epoch(ROWS, trial.trainer)
        found = passed(made, trial)
        assert found == [1, 2, 4, 8, 16, 24] if steps >= 8 else len(set(found)) == len(found), steps


def test_trials_with_other_batches_meet_at_the_same_epochs() -> None:
    made = report_steps(searched(per_device_train_batch_size=(8, 16)), eval_strategy="steps", eval_steps=25)
    assert made.unit == Fraction(1, 4)
    assert passed(made, config(eval_strategy="steps", eval_steps=25)) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert passed(made, config(eval_strategy="steps", eval_steps=25, **{BATCH: 16})) == [2, 4, 6, 8]


def test_the_unit_is_the_finest_that_values_together_can_ask_for() -> None:
    space = searched(per_device_train_batch_size=(8, 16), gradient_accumulation_steps=(1, 4), eval_steps=Range(5, 50))
    made = report_steps(space, eval_strategy="steps", eval_steps=50, gradient_accumulation_steps=4, **{BATCH: 16})
    assert made.unit == Fraction(5, 100)


def test_a_configured_value_that_no_trial_has_does_not_count() -> None:
    space = searched(per_device_train_batch_size=(16, 32))
    assert report_steps(space, eval_strategy="steps", eval_steps=10, **{BATCH: 4}).unit == Fraction(10, 50)


@pytest.mark.parametrize("accumulation", [1, 3, 4])
def test_no_report_step_comes_twice_before_the_end(accumulation: int) -> None:
    """Intervals that divide nothing evenly; only the last evaluation may share a report step with
    the one before."""
    space = searched(per_device_train_batch_size=(8, 12, 17, 31), eval_steps=(7, 11))
    shared = {"eval_strategy": "steps", "gradient_accumulation_steps": accumulation, "num_train_epochs": 3}
    made = report_steps(space, eval_steps=7, **shared)
    for batch in (8, 12, 17, 31):
        for every in (7, 11):
            found = passed(made, config(**{**shared, BATCH: batch, EVERY: every}))
            assert len(set(found[:-1])) == len(found[:-1]) and found == sorted(found) and found[0] >= 1


def test_without_evaluations_on_the_way_report_steps_are_epochs() -> None:
    made = report_steps(Space(), eval_strategy="no")
    assert passed(made, config(eval_strategy="no")) == [2]
    assert passed(made, config(eval_strategy="no", num_train_epochs=0.2)) == [1]


def judged(pruner: optuna.pruners.BasePruner, scored: Sequence[tuple[Config, Sequence[float]]]) -> list[int]:
    """Return the evaluation, from 1, at which the pruner would stop each trial, 0 for none; no
    trial is really stopped."""
    made = ReportSteps.of([trial.trainer for trial, _ in scored], Space(), ROWS)
    study = optuna.create_study(direction="maximize", pruner=pruner)
    found = []
    for trial, scores in scored:
        asked, stop = study.ask(), 0
        for index, (step, score) in enumerate(zip(evaluation_steps(ROWS, trial.trainer), scores, strict=True), start=1):
            asked.report(score, made.nearest(trial.trainer, step))
            stop = stop or (index if asked.should_prune() else 0)
        study.tell(asked, scores[-1])
        found.append(stop)
    return found


SMALL = config(eval_strategy="steps", eval_steps=25)  # eight evaluations in two epochs
LARGE = config(eval_strategy="steps", eval_steps=25, **{BATCH: 16})  # four in the same
RISING = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]


def test_the_median_is_of_scores_after_as_many_epochs() -> None:
    """A large batch that learns as fast by the epoch is ahead at each of its evaluations, and one
    that lags is behind. By position, the third evaluation of the second would have met 0.3."""
    pruner = optuna.pruners.MedianPruner(n_startup_trials=1)
    ahead, behind = [0.21, 0.41, 0.61, 0.81], [0.21, 0.39, 0.59, 0.79]
    assert judged(pruner, [(SMALL, RISING), (LARGE, ahead)]) == [0, 0]
    assert judged(pruner, [(SMALL, RISING), (LARGE, behind)]) == [0, 2]


def test_a_rung_is_reached_after_as_many_epochs() -> None:
    """The rungs are at report steps 2 and 4: the first and the second evaluation of a large
    batch."""

    def halving() -> optuna.pruners.BasePruner:
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=2, reduction_factor=2)

    assert judged(halving(), [(SMALL, RISING), (LARGE, [0.21, 0.39, 0.61, 0.81])]) == [0, 2]
    assert judged(halving(), [(SMALL, RISING), (LARGE, [0.19, 0.41, 0.61, 0.81])]) == [0, 1]
    assert judged(halving(), [(SMALL, RISING), (LARGE, [0.21, 0.41, 0.61, 0.81])]) == [0, 0]
