from __future__ import annotations

from sweep.config.schema import TrainerConfig
from sweep.engine.trial_steps import TrialSteps

TRAINER = TrainerConfig(per_device_train_batch_size=10, num_train_epochs=2, eval_strategy="epoch")


def test_a_training_is_evaluated_on_its_way_and_at_its_end() -> None:
    assert TrialSteps.of(40, TRAINER) == TrialSteps(8, 8, frozenset({4, 8}))


def test_without_evaluations_a_training_ends_on_the_way_of_its_schedule() -> None:
    assert TrialSteps.of(40, TRAINER, stop_after=5) == TrialSteps(8, 5)


def test_evaluations_come_at_the_shares_of_another_training() -> None:
    """As in the folds of a trial, which differ in their rows, and in its retraining."""
    assert TrialSteps.of(50, TRAINER, evaluated_as=40) == TrialSteps(10, 10, frozenset({5, 10}))
    assert TrialSteps.of(50, TRAINER, evaluated_as=40, stop_after=5) == TrialSteps(10, 5, frozenset({5, 10}))
