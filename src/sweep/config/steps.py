"""The optimizer steps of a trial, and the steps after which it is evaluated.

The formulas are those of `transformers.Trainer` and `TrainingArguments.get_warmup_steps`, without
torch, so that a plan knows the steps before anything is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from math import ceil, floor

from sweep.config.schema import TrainerConfig

EARLY = (Fraction(1, 8), Fraction(1, 4), Fraction(1, 2))  # of the first epoch: where eval_strategy=early evaluates too


def batches_per_epoch(rows: int, trainer: TrainerConfig) -> int:
    """Return the batches of an epoch. The last batch may be a short one; it is not dropped."""
    return ceil(rows / trainer.per_device_train_batch_size)


def steps_per_epoch(rows: int, trainer: TrainerConfig) -> int:
    """Return the steps of an epoch. Left-over batches at its end make a step of their own."""
    return max(ceil(batches_per_epoch(rows, trainer) / trainer.gradient_accumulation_steps), 1)


def total_steps(rows: int, trainer: TrainerConfig) -> int:
    """Return the steps of a whole training on `rows` rows."""
    return ceil(trainer.num_train_epochs * steps_per_epoch(rows, trainer))


def warmup_steps(total: int, value: float) -> int:
    """Return the warmup steps of a trial of `total` steps.

    A `value` below 1 is a share of them, rounded up.
    """
    return int(value) if value >= 1 else ceil(total * value)


def evaluation_steps(rows: int, trainer: TrainerConfig) -> tuple[int, ...]:
    """Return the steps after which the validation split is read, in order.

    The last step is always one of them.
    """
    total, epoch = total_steps(rows, trainer), steps_per_epoch(rows, trainer)
    return (*sorted({step for step in _before_the_end(trainer, epoch, total) if step < total}), total)


def stretched(steps: Sequence[int], total: int) -> tuple[int, ...]:
    """Return the steps of a training of `total` steps that are at the same shares of it as `steps`
    are of their last one. No two become one if `total` is not smaller than that."""
    return tuple(step * total // steps[-1] for step in steps)


def refit_steps(best: int, rows: int, more: int, trainer: TrainerConfig) -> int:
    """Return the step of a refit that is as far, in epochs, as step `best` of the training.

    The refit trains on `more` rows, the training on `rows` rows.
    """
    if best >= total_steps(rows, trainer):
        return total_steps(more, trainer)
    return nearest(Fraction(best, steps_per_epoch(rows, trainer)) * steps_per_epoch(more, trainer))


def _before_the_end(trainer: TrainerConfig, epoch: int, total: int) -> Iterable[int]:
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
    """Return the nearest whole number, the larger one where two are as near, and at least 1."""
    return max(1, floor(count + Fraction(1, 2)))
