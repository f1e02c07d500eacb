"""The memory that a trial is going to need, and the batches that memory holds.

A trial whose memory is far below what there is needs no measurement: a bound by the numbers of its
model's config says so. Where some trial of a study may not fit, small trainings are measured once,
before the first trial (`sweep.study.measured_memory`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from sweep.config.batch import divisors
from sweep.config.limits import DEVICE_BYTES, HOST_BYTES
from sweep.config.optimizers import OPTIMIZERS
from sweep.config.schema import Config, ModelConfig
from sweep.config.settings import TrainSettings
from sweep.errors import UserError
from sweep.model.architecture import read_config
from sweep.model.preflight import preflight
from sweep.model.source import find
from sweep.plan.memory_needs import built_by, kind
from sweep.plan.plan import Plan, tokenised_by
from sweep.records.final import Parameters
from sweep.records.memory import Footprint, MemoryFacts, read_memory, write_memory
from sweep.records.trial import TrialPlan
from sweep.study.does_not_fit import does_not_fit
from sweep.study.measured_memory import look, measure
from sweep.study.memory_forecast import GAPS, Forecast, Peak
from sweep.study.session import Session

_GAPS_OF_PACK = 2.8  # the same of a pack in files of earlier versions, whose rows were measured too small
_MORE = 0.05  # the part by which a batch of a doubtful trial may need more memory than the smallest one
SPARE = 0.1  # the part of the usable memory that a chosen batch leaves free
_LIBRARIES = 2**30  # bytes of the process and its libraries, at most
_MOST_MEASURED = 8  # configs
_MEGABATCH = 50  # batches that `group_by_length` sorts together


@dataclass(slots=True)
class Forecasts:
    """The forecasts of a study's trials. Without `facts` nothing is known, and each trial fits."""

    plan: Plan
    facts: MemoryFacts | None
    accounts: dict[str, Parameters] = field(default_factory=dict)
    _sizes: dict[str, Any] = field(default_factory=dict)  # the configs of models, which are read from disk

    @classmethod
    def open(cls, session: Session) -> Forecasts:
        """Return the forecasts of a study: by the figures in its run directory, or by those that
        are measured now, where it has none or they are of another device or limit.

        Raises what the trials' machine raises where it loads a model."""
        plan, accounts = session.plan, dict(session.plan.needs.accounts)
        if not accounts:
            return cls(plan, None)
        workers = session.launcher.workers_on_host()
        kept, now = read_memory(session.store.root), session.launcher.ask(look, workers)
        if kept is not None and kept.same_device(now):
            return cls(plan, kept, accounts)
        found = cls(plan, now, accounts)
        if doubtful := list(found.doubtful()):
            found.facts = session.launcher.ask(measure, doubtful, workers)
        assert found.facts is not None
        write_memory(session.store.root, found.facts)
        return found

    @classmethod
    def recorded(cls, session: Session) -> Forecasts:
        """Return the forecasts by the figures in the run directory; nothing is measured."""
        return cls(session.plan, read_memory(session.store.root), dict(session.plan.needs.accounts))

    def doubtful(self) -> Iterator[tuple[Config, Parameters]]:
        """Yield a config for each way to build a model whose trials may not fit in memory, by a
        bound that is too high, with its counted weights."""
        rows = max(corner.trainer.per_device_train_batch_size for corner in self.plan.corners)
        known: dict[str, Config] = {}
        for corner in self.plan.corners:
            known.setdefault(built_by(corner), corner)
        for name, config in list(known.items())[:_MOST_MEASURED]:
            account = self.accounts.get(name)
            if account is not None and not self._surely_fits(config, account, rows):
                yield config, account

    def fitted(self, trial: TrialPlan) -> TrialPlan:
        """Return the trial as memory holds it: an effective batch is divided where it has to be.

        Raises DoesNotFitError where the trial needs more than there is, however it is divided.
        """
        config, facts = trial.config, self.facts
        rows = config.trainer.per_device_train_batch_size
        if facts is None or (account := self._account(config)) is None or self._surely_fits(config, account, rows):
            return trial
        sizes = [one for one in divisors(config.trainer.step_rows) if one <= rows] if _divisible(config) else [rows]
        found = {size: forecast for size in sizes if (forecast := self.forecast(config, size)) is not None}
        if not found:
            return trial
        for size, forecast in found.items():
            if self._fits(config, forecast):
                return self._in_batches(trial, size)
        if (least := found[sizes[-1]]).least > facts.limit:
            single = self.forecast(config, 1) or least
            raise does_not_fit(config, least, single, facts)
        at_once = self._at_once(config)
        most = (1 + _MORE) * least.together(at_once)
        near = (size for size, one in found.items() if one.together(at_once) <= most and one.least <= facts.limit)
        return self._in_batches(trial, next(near, sizes[-1]))

    def _fits(self, config: Config, forecast: Forecast) -> bool:
        """Return whether the trainings that run at once fit in memory, and the trial keeps the
        limit on its peak, with some to spare."""
        assert self.facts is not None
        limit = self.plan.config.study.limits.get(self._peak_name)
        kept = limit is None or self._peak(config, forecast) <= (1 - SPARE) * limit
        return kept and forecast.together(self._at_once(config)) <= (1 - SPARE) * self.facts.usable

    def peak(self, config: Config) -> Peak | None:
        """Return the peak that a trial is predicted to have: on the host of its process, or on its
        GPU; None where it was not predicted. The folds of a trial that train side by side count
        together."""
        forecast = self.forecast(config)
        return None if forecast is None else Peak(self._peak_name, self._peak(config, forecast))

    def with_share(self, trial: TrialPlan) -> TrialPlan:
        """Return the trial with the memory that it takes beside others, and the number of workers
        that share the memory of a host."""
        workers = 1 if self.facts is None else self.facts.workers
        return replace(trial, memory=self.share(trial.config), workers=workers)

    def share(self, config: Config) -> float:
        """Return the part of the memory for trainings that one training of a trial in a pack
        takes; 0 where it is not known."""
        forecast = self.forecast(config) if self._is_packed(config) else None
        return 0.0 if forecast is None else self._share(forecast)

    def _share(self, forecast: Forecast) -> float:
        assert self.facts is not None
        room = (1 - SPARE) * self.facts.usable - forecast.resident - forecast.process
        return forecast.own / room if room > 0 else 1.0

    def _peak(self, config: Config, forecast: Forecast) -> int:
        if not self._is_packed(config):
            return forecast.bytes
        beside = int(1 / max(self._share(forecast), 1e-6))
        return forecast.together(max(min(self.plan.config.dataset.folds or 1, beside), 1))

    @property
    def _peak_name(self) -> str:
        assert self.facts is not None
        return HOST_BYTES if self.facts.device == "cpu" else DEVICE_BYTES

    def _at_once(self, config: Config) -> int:
        assert self.facts is not None
        return self.facts.at_once if self._is_packed(config) else 1

    def _in_batches(self, trial: TrialPlan, rows: int) -> TrialPlan:
        if rows == trial.config.trainer.per_device_train_batch_size:
            return trial
        return self.plan.trial(trial.number, trial.params, batch=rows)

    def forecast(self, config: Config, rows: int | None = None) -> Forecast | None:
        """Return the forecast of a trial in batches of so many rows, or in its own; None where no
        training of its kind was measured."""
        rows = rows or config.trainer.per_device_train_batch_size
        if self.facts is None or (footprint := self._footprint(config)) is None:
            return None
        if (account := self._account(config)) is None:
            return None
        resident = footprint.resident or self.facts.resident
        more = (account.trainable - footprint.trained) * _bytes_of_trained(config, self.facts)
        fixed = max(int(footprint.fixed + more), 0)
        longest = self.plan.needs.longest.get(tokenised_by(config), ())
        evaluated = config.trainer.per_device_eval_batch_size
        count = min(rows, len(self.plan.splits.train))
        full = self._full_rows(config, longest, count) if footprint.packed else float(count)
        evaluation = footprint.evaluation(min(evaluated, len(self.plan.splits.validation)))
        return Forecast(
            resident, fixed, int(footprint.row * full), int(evaluation), self._gaps(footprint), footprint.process
        )

    def _gaps(self, footprint: Footprint) -> float:
        assert self.facts is not None
        if self.facts.device != "cpu":
            return 1.0
        earlier = not footprint.resident
        return footprint.gaps or (_GAPS_OF_PACK if footprint.packed and earlier else GAPS)

    def _full_rows(self, config: Config, longest: tuple[int, ...], rows: int) -> float:
        """Return how many of the longest row have as many tokens as the rows of the largest batch,
        which are not padded."""
        if not longest:
            return float(rows)
        trainer, count = config.trainer, len(self.plan.splits.train)
        mean = self.plan.tokens_per_row(config) or longest[0]
        if trainer.train_sampling_strategy != "group_by_length":
            return min(float(rows), 1 + (rows - 1) * mean / longest[0])
        apart = max(count // (_MEGABATCH * trainer.step_rows), 1)  # rows between two that a sorted part has
        tokens = sum(longest[place] if place < len(longest) else mean for place in range(0, rows * apart, apart))
        return min(float(rows), tokens / longest[0])

    def _footprint(self, config: Config) -> Footprint | None:
        """Return the footprint of the config, or the largest one of its kind."""
        if self.facts is None:
            return None
        of_kind = [one for one in self.facts.footprints if one.kind == kind(config)]
        exact = [one for one in of_kind if one.built_by == built_by(config)]
        return max(exact or of_kind, key=lambda one: one.row, default=None)

    def _is_packed(self, config: Config) -> bool:
        footprint = self._footprint(config)
        return footprint is not None and footprint.packed

    def _account(self, config: Config) -> Parameters | None:
        name = built_by(config)
        if name not in self.accounts:
            try:
                self.accounts[name] = preflight(TrainSettings.of(config), self.plan.splits.labels, self._device)
            except UserError:  # told where the trial begins
                return None
        return self.accounts[name]

    @property
    def _device(self) -> torch.device:
        return torch.device("cpu" if self.facts is None or self.facts.device == "cpu" else "cuda")

    def _surely_fits(self, config: Config, account: Parameters, rows: int) -> bool:
        """Return whether the trial needs less than there is, by a bound that is too high."""
        assert self.facts is not None
        longest = self.plan.needs.longest.get(tokenised_by(config), ())
        of_token = _bytes_of_token(self._sizes_of(config.model), config, longest[0] if longest else 0)
        if of_token is None or not longest:
            return False
        tokens = longest[0] * max(rows, config.trainer.per_device_eval_batch_size)
        own = account.trainable * _bytes_of_trained(config, self.facts) + tokens * of_token
        base, folds = _LIBRARIES + account.bytes, self.plan.config.dataset.folds or 1
        limit = self.plan.config.study.limits.get(self._peak_name, math.inf)
        room = (1 - SPARE) * self.facts.usable
        return base + self.facts.at_once * own < room and base + folds * own < (1 - SPARE) * limit

    def _sizes_of(self, model: ModelConfig) -> Any:
        """Return the config of a model, read once. Raises what `read_config` raises."""
        name = repr(model)
        if name not in self._sizes:
            self._sizes[name] = read_config(model, find(model)).get_text_config()
        return self._sizes[name]


def _divisible(config: Config) -> bool:
    """Return whether the effective batch may be divided: it was asked for, and the optimizer waits
    for all of it."""
    takes_at_once = OPTIMIZERS[config.optimizer.name].alone.startswith("takes its step")
    return config.trainer.effective_batch_size is not None and not takes_at_once


def _bytes_of_trained(config: Config, facts: MemoryFacts) -> float:
    """Return the bytes of a trained weight: itself, its gradient, the optimizer's state, and on
    the host the copy at the best evaluation."""
    return 8 + OPTIMIZERS[config.optimizer.name].state_bytes + (4 if facts.device == "cpu" else 0)


def _bytes_of_token(sizes: Any, config: Config, length: int) -> float | None:
    """Return more bytes than the activations of a token take in a row of so many tokens, by the
    sizes that transformers have (Korthikanti et al. 2022, arXiv 2205.05198); None where the
    model's config does not say them."""
    width, layers = getattr(sizes, "hidden_size", None), getattr(sizes, "num_hidden_layers", None)
    if not isinstance(width, int) or not isinstance(layers, int):
        return None
    inner = getattr(sizes, "intermediate_size", None) or 4 * width
    heads = getattr(sizes, "num_attention_heads", None) or 1
    words = 12.0 * (getattr(sizes, "vocab_size", None) or 0) if config.prompt is not None else 0.0
    return 8.0 * (layers + 1) * (16 * width + 4 * int(inner) + 3 * int(heads) * length) + words
