"""How many optimizer steps a trial takes, and after which of them it is evaluated.

These are the formulas of `transformers.Trainer` and `TrainingArguments.get_warmup_steps`, without torch, so that a plan
knows them before anything is loaded.
"""

from __future__ import annotations

import math

from sweep.config.schema import Config, TrainerConfig


def batches_per_epoch(rows: int, trainer: TrainerConfig) -> int:
    """The last batch may be a short one; it is not dropped."""
    return math.ceil(rows / trainer.per_device_train_batch_size)


def steps_per_epoch(rows: int, trainer: TrainerConfig) -> int:
    """Left-over batches at the end of an epoch make a step of their own."""
    return max(math.ceil(batches_per_epoch(rows, trainer) / trainer.gradient_accumulation_steps), 1)


def total_steps(rows: int, config: Config) -> int:
    return math.ceil(config.trainer.num_train_epochs * steps_per_epoch(rows, config.trainer))


def warmup_steps(total: int, value: float) -> int:
    """`value` below 1 is a share of `total`, rounded up; above, a number of steps."""
    return int(value) if value >= 1 else math.ceil(total * value)


def evaluation_steps(rows: int, config: Config) -> tuple[int, ...]:
    """The steps after which the validation split is read, in order; the last step is always one of them."""
    total, interval = total_steps(rows, config), evaluation_interval(rows, config.trainer)
    regular = range(interval, total, interval) if interval else ()
    return (*regular, total)


def evaluation_interval(rows: int, trainer: TrainerConfig) -> int | None:
    """Optimizer steps from one evaluation to the next; None where only the last step is evaluated."""
    match trainer.eval_strategy:
        case "epoch":
            return steps_per_epoch(rows, trainer)
        case "steps":
            return trainer.eval_steps
        case "no":
            return None
