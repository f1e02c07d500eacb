"""How many optimizer steps a trial takes, and after which of them it is evaluated.

These are the formulas of `transformers.Trainer` and `TrainingArguments.get_warmup_steps`, without torch, so that a plan
knows them before anything is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from math import ceil, floor

from sweep.config.schema import Config, TrainerConfig
from sweep.config.settings import TrainSettings

EARLY = (Fraction(1, 8), Fraction(1, 4), Fraction(1, 2))  # of the first epoch: where eval_strategy=early evaluates too


def batches_per_epoch(rows: int, trainer: TrainerConfig) -> int:
    """The last batch may be a short one; it is not dropped."""
    return ceil(rows / trainer.per_device_train_batch_size)


def steps_per_epoch(rows: int, trainer: TrainerConfig) -> int:
    """Left-over batches at the end of an epoch make a step of their own."""
    return max(ceil(batches_per_epoch(rows, trainer) / trainer.gradient_accumulation_steps), 1)


def total_steps(rows: int, config: Config | TrainSettings) -> int:
    return ceil(config.trainer.num_train_epochs * steps_per_epoch(rows, config.trainer))


def warmup_steps(total: int, value: float) -> int:
    """`value` below 1 is a share of `total`, rounded up; above, a number of steps."""
    return int(value) if value >= 1 else ceil(total * value)


def evaluation_steps(rows: int, config: Config | TrainSettings) -> tuple[int, ...]:
    """The steps after which the validation split is read, in order; the last step is always one of them."""
    total, epoch = total_steps(rows, config), steps_per_epoch(rows, config.trainer)
    return (*sorted({step for step in _on_the_way(config.trainer, epoch, total) if step < total}), total)


def refit_steps(best: int, rows: int, more: int, config: Config) -> int:
    """Of a training on `more` rows, the step that is as far, in epochs, as step `best` of one on `rows`."""
    if best >= total_steps(rows, config):
        return total_steps(more, config)
    return nearest(Fraction(best, steps_per_epoch(rows, config.trainer)) * steps_per_epoch(more, config.trainer))


def _on_the_way(trainer: TrainerConfig, epoch: int, total: int) -> Iterable[int]:
    match trainer.eval_strategy:
        case "no":
            return ()
        case "steps":
            assert trainer.eval_steps is not None, "a plan has checked it"
            return range(trainer.eval_steps, total, trainer.eval_steps)
        case "epoch":
            return range(epoch, total, epoch)
        case "early":
            return (*(nearest(epoch * part) for part in EARLY), *range(epoch, total, epoch))


def nearest(count: Fraction) -> int:
    """The whole number nearest to it, of two the larger one, and at least 1."""
    return max(1, floor(count + Fraction(1, 2)))
