"""The error of a trial that needs more memory than there is."""

from __future__ import annotations

from dataclasses import replace

from sweep.config.batch import EFFECTIVE, PER_DEVICE
from sweep.config.schema import Config
from sweep.errors import UserError
from sweep.records.cost import Cost
from sweep.records.memory import MemoryFacts, gib
from sweep.records.trial import Failed, FailureReason
from sweep.study.memory_forecast import Forecast

EVALUATED = "trainer.per_device_eval_batch_size"


class DoesNotFitError(UserError):
    """A trial needs more memory than there is. `excess` is the part by which it does."""

    excess: float = 0.0

    @classmethod
    def by(cls, path: str, message: str, excess: float) -> DoesNotFitError:
        """Return the error with its fault."""
        found = cls(UserError.of(path, message).faults)
        found.excess = excess
        return found

    @property
    def failed(self) -> Failed:
        """Return the outcome of the trial. To a sampler it is one that ran out of memory."""
        message, excess = "; ".join(map(str, self.faults)), {str(FailureReason.OUT_OF_MEMORY): self.excess}
        return Failed(FailureReason.INFEASIBLE, message, (), Cost(), excess=excess)


def does_not_fit(config: Config, forecast: Forecast, single: Forecast, facts: MemoryFacts) -> DoesNotFitError:
    """Return the error of a trial that fits in no way. It names what to change: `single` is the
    forecast of batches of one row."""
    figure = (
        f"needs about {gib(forecast.bytes)}, and at least {gib(forecast.least)}, by small trainings that were measured "
        f"(training batch {gib(forecast.batch)}, evaluation {gib(forecast.evaluation)}, trained weights and optimizer "
        f"{gib(forecast.fixed)}, base and process {gib(forecast.together(0))}), but {facts.source} {gib(facts.limit)}"
    )
    path, value, remedy = _to_change(config, forecast, single, facts)
    if facts.workers > 1 and forecast.least <= facts.limit * facts.workers:
        remedy += ", or fewer workers on a host"
    return DoesNotFitError.by(path, f"is {value}, which {figure}; use {remedy}", forecast.bytes / facts.limit - 1)


def _to_change(config: Config, forecast: Forecast, single: Forecast, facts: MemoryFacts) -> tuple[str, object, str]:
    """Return the key that takes too much memory, its value, and what to use instead."""
    trainer, less = config.trainer, "a smaller dataset.max_length"
    if not trainer.gradient_checkpointing:
        less += " or trainer.gradient_checkpointing=true"
    if forecast.evaluation > forecast.batch and replace(forecast, evaluation=0).least <= facts.limit:
        return EVALUATED, trainer.per_device_eval_batch_size, "a smaller one"
    if trainer.effective_batch_size is None and single.least <= facts.limit:
        divided = f"{EFFECTIVE}={trainer.step_rows}, which is divided as memory allows"
        return PER_DEVICE, trainer.per_device_train_batch_size, f"{divided}, or {less}"
    if forecast.batch > max(forecast.fixed, forecast.resident):
        keys = (PER_DEVICE, trainer.per_device_train_batch_size), (EFFECTIVE, trainer.effective_batch_size)
        return *keys[trainer.effective_batch_size is not None], less
    if forecast.fixed > forecast.resident and (rank := getattr(config.adapter, "r", None)) is not None:
        return "adapter.r", rank, "a smaller rank"
    return "model.path", config.model.path or config.model.config, "a smaller model, or adapter=qlora"
