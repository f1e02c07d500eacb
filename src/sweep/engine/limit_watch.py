"""Measures a trial for `study.limits` while it trains, so that one that is beyond a limit ends as
soon as that is known."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from sweep.config.limits import DEVICE_BYTES, HOST_BYTES, LATENCY, PEAKS, TIMES, excess, times
from sweep.engine import memory
from sweep.records.cost import Cost
from sweep.records.trial import EvalPoint, Step, Verdict

WARM_UP, TIMED = 5, 20  # forward passes of one row
Collator = Callable[[Sequence[Mapping[str, Any]]], Mapping[str, torch.Tensor]]


@dataclass(slots=True)
class LimitWatch:
    """The values of one trial, `measured` by the names of their limits.

    Peaks of memory are those of the process, unless the trial `shares` it with others: then
    `take_peak` is called with its own part. `highest` are the peaks of the whole process.
    """

    limits: Mapping[str, float]
    device: torch.device
    shares: bool = False
    measured: dict[str, float] = field(default_factory=dict)
    highest: dict[str, float] = field(default_factory=dict)

    def reporting(self, on_step: Callable[[Step], Verdict]) -> Callable[[Step], Verdict]:
        """Return `on_step` with a verdict of INFEASIBLE where the trial is beyond a limit."""
        if not self.limits.keys() & {*PEAKS, *TIMES, LATENCY}:
            return on_step

        def reported(step: Step) -> Verdict:
            verdict = on_step(step)
            self._look(step)
            beyond = verdict is Verdict.CONTINUE and excess(self.limits, self.measured)
            return Verdict.INFEASIBLE if beyond else verdict

        return reported

    def evaluated(self, on_eval: Callable[[EvalPoint], Verdict]) -> Callable[[EvalPoint], Verdict]:
        """Return `on_eval` with the values up to here in each evaluation, which may be a second
        objective."""

        def reported(point: EvalPoint) -> Verdict:
            known = {name.replace(".", "/", 1): value for name, value in self.measured.items() if name not in TIMES}
            return on_eval(replace(point, measured={**point.measured, **known}))

        return reported if self.limits else on_eval

    def _look(self, step: Step) -> None:
        self.measured |= {name: value for name, value in times(step.seconds).items() if name in self.limits}
        for name in self.peaks if not self.shares else ():
            self.take_peak(name, peak_of(name, self.device))

    @property
    def peaks(self) -> tuple[str, ...]:
        """Return the names of the peaks that are limited."""
        return tuple(name for name in PEAKS if name in self.limits)

    def take_peak(self, name: str, value: float) -> None:
        self.measured[name] = max(value, self.measured.get(name, 0.0))

    def measure_latency(
        self,
        model: nn.Module,
        dataset: Any,
        collate: Collator,
        cast: Callable[[], AbstractContextManager[Any]],
    ) -> bool:
        """Time the model on single rows where a limit asks for it, by `latency`. Return whether
        that was done. Without a dataset, as in a refit, no row is there to time it on."""
        if LATENCY not in self.limits or dataset is None:
            return False
        self.measured[LATENCY] = latency(model, dataset, collate, cast, self.device)
        return True

    def measured_cost(self, cost: Cost) -> Cost:
        """Return the cost of the trial with the values that were measured."""
        return replace(
            cost,
            measured={name: value for name, value in self.measured.items() if name not in TIMES},
            peak_device_bytes=max(cost.peak_device_bytes, int(self.highest.get(DEVICE_BYTES, 0))),
            peak_host_bytes=max(cost.peak_host_bytes, int(self.highest.get(HOST_BYTES, 0))),
        )


def peak_of(name: str, device: torch.device) -> int:
    """Return the peak of the process that a limit is about, in bytes."""
    return memory.peak_device_bytes(device) if name == DEVICE_BYTES else memory.peak_host_bytes()


def latency(
    model: nn.Module,
    dataset: Any,
    collate: Collator,
    cast: Callable[[], AbstractContextManager[Any]],
    device: torch.device,
) -> float:
    """Return the median milliseconds of the forward pass of one row, after a warm-up.

    The rows of the tokenised dataset are spread evenly over its lengths. A pass begins with the
    row's tokens in this process and ends with its scores there. The model is left in evaluation
    mode.
    """
    order = np.argsort(np.asarray(dataset["length"][:]), kind="stable")
    chosen = order[np.linspace(0, len(order) - 1, TIMED).astype(int)].tolist()
    seconds = []
    model.eval()
    with torch.no_grad(), cast():
        for row in [*chosen[-WARM_UP:], *chosen]:
            batch = dict(collate(dataset.__getitems__([row])))
            del batch["labels"]
            started = time.perf_counter()
            model(**{name: tensor.to(device) for name, tensor in batch.items()}).logits.cpu()
            seconds.append(time.perf_counter() - started)
    return 1000 * statistics.median(seconds[WARM_UP:])
