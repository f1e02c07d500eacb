"""Trials that are stopped after a step, and go on from their snapshot."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from support.packs import Run, without_questions
from support.trials import Watcher
from sweep.config.schema import Config
from sweep.data.tokenise import TokenisedData
from sweep.engine.snapshot import decode
from sweep.engine.trainer import OneByOne
from sweep.model.base_model_cache import BaseModelCache
from sweep.records.cost import Cost
from sweep.records.snapshot import Snapshot
from sweep.records.trial import EvalPoint, Failed, FailureReason, Outcome, Step, TrialPlan, Verdict


@dataclass
class Stopping(Watcher):
    """Interrupts a trial after the step `stop_at`, and keeps the snapshots."""

    stop_at: int | None = None
    snapshots: list[Snapshot] = field(default_factory=list)

    def __init__(self, stop_at: int | None = None) -> None:
        super().__init__(judge=self._judge)
        self.stop_at, self.snapshots = stop_at, []

    def _judge(self, event: Step | EvalPoint) -> Verdict:
        return Verdict.INTERRUPT if event.step == self.stop_at else Verdict.CONTINUE

    def run(
        self, *trials: TrialPlan, base_models: BaseModelCache, data: TokenisedData, best_dir: Path | None = None
    ) -> Outcome:
        queue = iter(trials)
        OneByOne(base_models, data, lambda _: best_dir).run(
            lambda: next(queue, None), self._hear, self._hear, lambda _, outcome: self.outcomes.append(outcome),
            lambda _, snapshot: self.snapshots.append(snapshot),
        )  # fmt: skip
        return self.outcomes[-1]


@dataclass(frozen=True)
class TakenUp:
    """A trial with a snapshot after each step, and what trains it on from some of them."""

    plan: TrialPlan
    base_models: BaseModelCache
    data: TokenisedData
    whole: Stopping = field(default_factory=Stopping)

    def check(self, *steps: int) -> None:
        """Check that the trial goes on from its snapshot after each of the `steps` as it went on
        without one."""
        every = replace(self.plan, config=with_snapshots(self.plan.config))
        if not self.whole.outcomes:
            self.whole.run(every, base_models=self.base_models, data=self.data)
        snapshots = {snapshot.step: snapshot for snapshot in self.whole.snapshots}
        for step in steps:
            again = Stopping()
            again.run(replace(every, snapshot=snapshots[step]), base_models=self.base_models, data=self.data)
            assert training(again) == [event for event in training(self.whole) if event.step > step], step
            assert comparable(again.outcomes[-1]) == comparable(self.whole.outcomes[-1]), step
            for snapshot in again.snapshots[-1:]:
                assert_same(_state(snapshot), _state(snapshots[snapshot.step]))


def assert_same(found: Any, expected: Any, path: str = "state") -> None:
    """Check that two states are equal, bit for bit."""
    assert type(found) is type(expected), path
    match found:
        case Tensor():
            assert found.dtype == expected.dtype and torch.equal(found, expected), path
        case dict():
            assert list(found) == list(expected), path
            for key in found:
                assert_same(found[key], expected[key], f"{path}.{key}")
        case list() | tuple():
            assert len(found) == len(expected), path
            for index, pair in enumerate(zip(found, expected, strict=True)):
                assert_same(*pair, f"{path}.{index}")
        case _:
            assert found == expected or found != found, path


def _state(snapshot: Snapshot) -> dict[str, Any]:
    """Return the state without seconds."""
    state = decode(snapshot, torch.device("cpu"))
    del state["trial"]["clock"]
    return state


def with_snapshots(config: Config) -> Config:
    """Return the config with a snapshot after each optimizer step."""
    study = config.study.model_copy(update={"snapshots": "always", "snapshot_every": 0.0})
    return config.model_copy(update={"study": study})


def comparable(outcome: Outcome) -> Outcome:
    """Return the outcome without times and memory."""
    cost = outcome.cost
    kept = Cost(
        steps=cost.steps, samples=cost.samples, eval_samples=cost.eval_samples, flops=cost.flops,
        train_loss=cost.train_loss, engine=cost.engine, trained_parameters=cost.trained_parameters,
    )  # fmt: skip
    return replace(outcome, cost=kept)


def training(watcher: Watcher) -> list[Step | EvalPoint]:
    """Return the steps and evaluations that a watcher heard of, without questions before the
    first step."""
    return [event for event in watcher.events if event.step]


@dataclass
class StopAll:
    """The answers of a study: INTERRUPT from the question `at` on, counted over all trials."""

    at: float
    asked: int = 0

    def __call__(self, _: TrialPlan, __: Step | EvalPoint) -> Verdict:
        self.asked += 1
        return Verdict.INTERRUPT if self.asked >= self.at else Verdict.CONTINUE


def interrupted(run: Run, number: int) -> bool:
    outcome = run.outcome(number)
    return isinstance(outcome, Failed) and outcome.reason is FailureReason.INTERRUPTED


def gone_on(run: Run, *trials: TrialPlan) -> list[TrialPlan]:
    """Return the trials that a run interrupted, with their last snapshots."""
    return [
        replace(trial, snapshot=run.snapshots.get(trial.number, [None])[-1])
        for trial in trials
        if interrupted(run, trial.number)
    ]


def progress(number: int, *runs: Run) -> list[Step | EvalPoint]:
    """Return the events of a trial over several runs."""
    return without_questions(event for run in runs if number in run.numbers for event in run.events(number))


def assert_uninterrupted(whole: Run, *parts: Run) -> None:
    """Check that trials that were taken up again ended as those that never stopped, to the last
    bit: reports, outcomes, costs, and weights where the last run saved any."""
    for number in whole.numbers:
        assert progress(number, *parts) == progress(number, whole), f"trial {number}"
        last = next(run for run in reversed(parts) if number in run.numbers)
        assert comparable(last.outcome(number)) == comparable(whole.outcome(number)), f"trial {number}"
        for kept, others in ((last.best, whole.best), (last.newest, whole.newest)):
            for name, weight in kept.get(number, {}).items():
                assert torch.equal(weight, others[number][name]), f"trial {number}: {name}"
