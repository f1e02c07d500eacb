"""How long the trials of a search can be: more steps than can be counted, and warmup that takes too many of them.

The `corners` of a search are its config as it stands, then with each end of each searched range.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sweep.config.optimizers import schedule_arguments
from sweep.config.schema import Config, Scalar
from sweep.config.space import Space
from sweep.config.steps import total_steps, warmup_steps
from sweep.errors import Fault

WARMUP = "optimizer.warmup_steps"
_MOST_STEPS, _MOST_EVALUATIONS = 10**9, 100_000  # of one trial


def fewest_steps(corners: Sequence[Config], *, rows: int) -> int:
    """Steps of a trial with the fewest epochs and the largest batches that any corner has."""
    return _steps(corners, rows, epochs=min, sizes=max)


def uncountable(corners: Sequence[Config], *, rows: int) -> Iterator[Fault]:
    """Trials of more steps or evaluations than anyone trains: a plan lists each evaluation."""
    longest = _steps(corners, rows, epochs=max, sizes=min)
    if longest > _MOST_STEPS:
        rule = f"makes trials of up to {longest:,} steps, but must make at most {_MOST_STEPS:,}"
        yield Fault("trainer.num_train_epochs", f"{rule}; use fewer epochs or larger batches")
    often = [corner.trainer.eval_steps for corner in corners if corner.trainer.eval_strategy == "steps"]
    least = min((steps for steps in often if steps is not None), default=None)
    if least is not None and longest // least > _MOST_EVALUATIONS:
        wanted = -(-longest // _MOST_EVALUATIONS)
        rule = f"is {least}, which makes {longest // least:,} evaluations in {longest:,} steps; it must be at least {wanted:,}"
        yield Fault("trainer.eval_steps", rule)


def cut_warmup(config: Config, params: Mapping[str, Scalar], steps: int) -> tuple[Config, dict[str, Scalar]]:
    """The config of a trial of `steps`, with a searched warmup cut to end before the trial does, and the value that it was
    cut to, by its key: empty where the searched one fits."""
    if WARMUP not in params or warmup_steps(steps, config.optimizer.warmup_steps) < steps:
        return config, {}
    optimizer = config.optimizer.model_copy(update={"warmup_steps": steps - 1})
    return config.model_copy(update={"optimizer": optimizer}), {WARMUP: steps - 1}


def cut_warmups(config: Config, space: Space, corners: Sequence[Config], *, rows: int) -> Iterator[str]:
    """A note where `cut_warmup` would cut a warmup that the search may ask for."""
    if WARMUP not in space:
        return
    steps = fewest_steps(corners, rows=rows)
    known = [float(point[WARMUP]) for point in config.study.enqueue if isinstance(point.get(WARMUP), int | float)]  # type: ignore[arg-type]
    most = max(
        [*known, *(corner.optimizer.warmup_steps for corner in corners)], key=lambda one: warmup_steps(steps, one)
    )
    if warmup_steps(steps, most) >= steps:
        share = "; search a share of the steps, such as {low: 0.0, high: 0.3}, or type " + f"{WARMUP}=0.1"
        yield (
            f"{WARMUP} is searched up to {most:g}, but the shortest trial of this search has {steps:,} "
            f"step{'s' if steps > 1 else ''}: a warmup as long as its trial is cut to one step less, and the trial's record says so"
            f"{share if warmup_steps(steps, 0.3) < steps else ''}"
        )


def long_warmups(config: Config, corners: Sequence[Config], *, rows: int) -> Iterator[str]:
    """A note where warmup takes more than a third of a trial: of the search's worst corner, or of the config as it stands."""
    shortest = fewest_steps(corners, rows=rows)
    longest = max(corners, key=lambda corner: warmup_steps(shortest, corner.optimizer.warmup_steps))
    cases = (
        (config, total_steps(rows, config), "this trial"),
        (longest, shortest, "the shortest trial of this search"),
    )
    told: dict[tuple[str, int], str] = {}
    for corner, total, trial in cases:
        value = corner.optimizer.warmup_steps
        steps = warmup_steps(total, value)
        said = f"is {value:g}" + (f", which is {steps} steps" if 0 < value < 1 else "")
        long = value > 1 / 3 if value < 1 else steps > total / 3  # a small share of few steps is rounded up
        if long and steps < total:
            told.setdefault((said, total), f"{WARMUP} {said}, more than a third of the {total} steps of {trial}")
    yield from list(told.values())[-1:]


def _steps(corners: Sequence[Config], rows: int, *, epochs: Callable[..., Any], sizes: Callable[..., Any]) -> int:
    """Steps of a trial with one end of the corners' epochs and one of their batch sizes; `epochs` and `sizes` are `min` or
    `max`."""
    trainers = [corner.trainer for corner in corners]
    trainer = trainers[0].model_copy(update={
        "num_train_epochs": epochs(one.num_train_epochs for one in trainers),
        "per_device_train_batch_size": sizes(one.per_device_train_batch_size for one in trainers),
        "gradient_accumulation_steps": sizes(one.gradient_accumulation_steps for one in trainers),
    })  # fmt: skip
    return total_steps(rows, corners[0].model_copy(update={"trainer": trainer}))


def long_decays(configs: Sequence[Config], shortest: int) -> Iterator[Fault]:
    """Schedules of three phases whose warmup and decay are longer together than the shortest trial."""
    key = "optimizer.lr_scheduler_kwargs"
    for config in configs:
        given = schedule_arguments(config.optimizer)
        decay = given.get("num_decay_steps")
        if config.optimizer.lr_scheduler_type != "warmup_stable_decay" or "num_stable_steps" in given or decay is None:
            continue
        warmup = warmup_steps(shortest, config.optimizer.warmup_steps)
        if warmup + decay > shortest:
            rule = f"has num_decay_steps {decay}, and warmup takes {warmup} steps, but the shortest trial has {shortest} in all"
            yield Fault(key, f"{rule}; give a smaller num_decay_steps")
            return
