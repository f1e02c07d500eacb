"""The length of trials against what is asked of them: what no machine counts, and warmup beyond a trial's end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sweep.config.schema import Config, Scalar
from sweep.config.space import Space
from sweep.errors import Fault
from sweep.steps import total_steps, warmup_steps

WARMUP = "optimizer.warmup_steps"
_MOST_STEPS, _MOST_EVALUATIONS = 10**9, 100_000  # of one trial


def uncountable(configs: Sequence[Config], config: Config, *, rows: int) -> Iterator[Fault]:
    """Trials of more steps or evaluations than anyone trains: a plan lists each evaluation. `configs` are the corners of the
    search, `config` the experiment as it stands."""
    longest = total_steps(rows, _longest(configs, config))
    if longest > _MOST_STEPS:
        rule = f"makes trials of up to {longest:,} steps, but must make at most {_MOST_STEPS:,}"
        yield Fault("trainer.num_train_epochs", f"{rule}; use fewer epochs or larger batches")
    often = [corner.trainer.eval_steps for corner in configs if corner.trainer.eval_strategy == "steps"]
    least = min((steps for steps in often if steps is not None), default=None)
    if least is not None and longest // least > _MOST_EVALUATIONS:
        wanted = -(-longest // _MOST_EVALUATIONS)
        rule = f"is {least}, which makes {longest // least:,} evaluations in {longest:,} steps; it must be at least {wanted:,}"
        yield Fault("trainer.eval_steps", rule)


def cut_warmup(config: Config, params: Mapping[str, Scalar], steps: int) -> tuple[Config, dict[str, Scalar]]:
    """The config of a trial of `steps` with a searched warmup that ends before the trial does, and the value that was put in
    place of the searched one: empty where that fits."""
    if WARMUP not in params or warmup_steps(steps, config.optimizer.warmup_steps) < steps:
        return config, {}
    optimizer = config.optimizer.model_copy(update={"warmup_steps": steps - 1})
    return config.model_copy(update={"optimizer": optimizer}), {WARMUP: steps - 1}


def long_warmups(
    config: Config, space: Space, corners: Sequence[Config], shortest: Config, *, rows: int
) -> Iterator[str]:
    """Where a warmup that the search may ask for would be cut. `shortest` is the config of its shortest trial."""
    if WARMUP not in space:
        return
    steps = total_steps(rows, shortest)
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


def _longest(configs: Sequence[Config], config: Config) -> Config:
    """`config` with the most epochs and the smallest batches that any corner has."""
    trainer = config.trainer.model_copy(update={
        "num_train_epochs": max(c.trainer.num_train_epochs for c in configs),
        "per_device_train_batch_size": min(c.trainer.per_device_train_batch_size for c in configs),
        "gradient_accumulation_steps": min(c.trainer.gradient_accumulation_steps for c in configs),
    })  # fmt: skip
    return config.model_copy(update={"trainer": trainer})
