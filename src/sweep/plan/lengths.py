"""The lengths of the trials of a search, in optimizer steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sweep.config.schema import Config, Scalar, TrainerConfig
from sweep.config.steps import evaluation_steps, total_steps, warmup_steps

WARMUP = "optimizer.warmup_steps"


@dataclass(frozen=True, slots=True)
class TrialLengths:
    """The trials of a search, as far as their lengths go; each trains on `rows` rows.

    `corners` are the config as it stands, then with each end of each searched range.
    """

    corners: Sequence[Config]
    rows: int

    @property
    def shortest(self) -> int:
        """Return the steps of a trial with the fewest epochs and largest batches of any corner."""
        return self._steps(epochs=min, sizes=max)

    @property
    def longest(self) -> int:
        """Return the steps of a trial with the most epochs and smallest batches of any corner."""
        return self._steps(epochs=max, sizes=min)

    def total(self, config: Config) -> int:
        """Return the steps of a trial with this config."""
        return total_steps(self.rows, config.trainer)

    def evaluations(self, trainer: TrainerConfig) -> tuple[int, ...]:
        """Return the steps after which a trial is evaluated."""
        return evaluation_steps(self.rows, trainer)

    def _steps(self, *, epochs: Callable[[Iterable[float]], float], sizes: Callable[[Iterable[int]], int]) -> int:
        trainers = [corner.trainer for corner in self.corners]
        trainer = trainers[0].model_copy(update={
            "num_train_epochs": epochs(one.num_train_epochs for one in trainers),
            "per_device_train_batch_size": sizes(one.per_device_train_batch_size for one in trainers),
            "gradient_accumulation_steps": sizes(one.gradient_accumulation_steps for one in trainers),
        })  # fmt: skip
        return total_steps(self.rows, trainer)


def cut_warmup(config: Config, params: Mapping[str, Scalar], steps: int) -> tuple[Config, dict[str, Scalar]]:
    """Return the config of a trial of `steps` steps, with a searched warmup that ends in time.

    A longer warmup is cut to end one step before the trial. The second value holds the cut warmup
    by its key; it is empty where the searched warmup fits, or none is searched.
    """
    if WARMUP not in params or warmup_steps(steps, config.optimizer.warmup_steps) < steps:
        return config, {}
    optimizer = config.optimizer.model_copy(update={"warmup_steps": steps - 1})
    return config.model_copy(update={"optimizer": optimizer}), {WARMUP: steps - 1}
