"""Trials on real parts, seen from outside: what is reported, and what comes of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.trials import ROWS, Remembering, Watcher, make_plan, retrained
from sweep.config.metrics import BY_TASK
from sweep.config.steps import evaluation_steps, total_steps
from sweep.data.tokenise import TokenisedData
from sweep.engine.protocol import StudyCallbacks
from sweep.engine.trainer import trained
from sweep.model.base_model_cache import BaseModelCache
from sweep.records.trial import Completed, EvalPoint, Step, TrialPlan, Verdict

Plan = Callable[..., TrialPlan]


def test_a_trial_learns_and_reports_all_of_it(
    plan: Plan, base_models: BaseModelCache, data: TokenisedData, watcher: Watcher
) -> None:
    trial = plan(trainer={"num_train_epochs": 6})
    outcome = watcher.run(trial, base_models=base_models, data=data)
    assert isinstance(outcome, Completed)
    assert outcome.evals == tuple(watcher.evals)
    assert outcome.best.metrics["eval/accuracy"] > watcher.evals[0].metrics["eval/accuracy"]
    assert [point.index for point in outcome.evals] == [1, 2, 3, 4, 5, 6]
    assert [point.epoch for point in outcome.evals] == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert list(outcome.best.metrics) == [f"eval/{name}" for name in BY_TASK["single_label"]]
    assert [step.step for step in watcher.steps] == list(range(1, 31))
    assert {step.total_steps for step in watcher.steps} == {trial.total_steps}
    cost = outcome.cost
    assert (cost.steps, cost.samples) == (30, 6 * ROWS)
    assert cost.train_loss is not None and 0 < cost.train_loss < 2
    assert min(cost.flops, cost.train_seconds, cost.eval_seconds, cost.peak_host_bytes) > 0
    assert cost.train_seconds + cost.eval_seconds < cost.seconds


def test_metrics_come_with_every_nth_step_and_the_last(
    plan: Plan, base_models: BaseModelCache, data: TokenisedData, watcher: Watcher
) -> None:
    watcher.run(plan(trainer={"logging_steps": 4, "num_train_epochs": 2}), base_models=base_models, data=data)
    logged = {step.step: step.metrics for step in watcher.steps if step.metrics}
    assert list(logged) == [4, 8, 10]
    for metrics in logged.values():
        assert set(metrics) == {"train/loss", "train/learning_rate", "train/grad_norm", "train/epoch"}
    assert logged[8]["train/epoch"] == pytest.approx(8 / 5)


def test_a_logged_loss_is_the_mean_since_the_last_one(
    plan: Plan, base_models: BaseModelCache, data: TokenisedData
) -> None:
    losses = []
    for every in (1, 5):
        watcher = Watcher()
        watcher.run(plan(trainer={"logging_steps": every, "num_train_epochs": 1}), base_models=base_models, data=data)
        losses.append([step.metrics["train/loss"] for step in watcher.steps if step.metrics])
    each, whole = losses
    assert whole == pytest.approx([sum(each) / 5], rel=1e-5)


@pytest.mark.parametrize(
    "trainer",
    [
        {"num_train_epochs": 1.3},
        {"num_train_epochs": 0.3},
        {"eval_strategy": "steps", "eval_steps": 3, "num_train_epochs": 1},
        {"eval_strategy": "steps", "eval_steps": 5, "num_train_epochs": 2},
        {"eval_strategy": "no"},
        {"eval_strategy": "early", "num_train_epochs": 2},
        {"gradient_accumulation_steps": 3, "num_train_epochs": 2},
        {"per_device_train_batch_size": 7, "gradient_accumulation_steps": 2, "num_train_epochs": 1.5},
        {"train_sampling_strategy": "random", "num_train_epochs": 1},
    ],
    ids=str,
)
def test_steps_are_those_foreseen(
    plan: Plan, base_models: BaseModelCache, data: TokenisedData, watcher: Watcher, trainer: dict[str, Any]
) -> None:
    trial = plan(trainer=trainer)
    outcome = watcher.run(trial, base_models=base_models, data=data)
    assert outcome.cost.steps == trial.total_steps == total_steps(ROWS, trial.config.trainer)
    assert tuple(point.step for point in outcome.evals) == evaluation_steps(ROWS, trial.config.trainer)


@pytest.mark.parametrize("method", ["lora", "head"])
def test_a_trial_trained_as_planned_is_evaluated_up_to_there(
    plan: Plan, base_models: BaseModelCache, data: TokenisedData, method: str
) -> None:
    watcher = Watcher()
    every = {"num_train_epochs": 2, "eval_strategy": "steps", "eval_steps": 2}
    cut = replace(plan(adapter={"method": method}, trainer=every), total_steps=6)
    study = StudyCallbacks(lambda _: Verdict.CONTINUE, lambda point: watcher._hear(cut, point))
    with trained(cut, base_models=base_models, data=data, study=study, as_planned=True) as done:
        assert isinstance(done.outcome, Completed) and done.outcome.cost.steps == 6
        assert [point.step for point in done.outcome.evals] == [2, 4, 6]


def test_an_evaluation_follows_the_report_of_its_step(
    plan: Plan, base_models: BaseModelCache, data: TokenisedData, watcher: Watcher
) -> None:
    watcher.run(plan(trainer={"num_train_epochs": 2}), base_models=base_models, data=data)
    shape: list[tuple[type, int]] = [(type(event), event.step) for event in watcher.events]
    expected: list[tuple[type, int]] = [(Step, step) for step in range(1, 11)]
    expected[5:5], expected[11:] = [(EvalPoint, 5)], [(EvalPoint, 10)]
    assert shape == expected


@pytest.mark.parametrize("sections", [{}, {"optimizer": {"name": "paged_adamw_8bit"}}], ids=str)
def test_nothing_of_a_trial_stays_in_memory(
    plan: Plan, data: TokenisedData, watcher: Watcher, sections: dict[str, Any]
) -> None:
    base_models = Remembering("cpu")
    watcher.run(plan(adapter={"method": "full"}, **sections), base_models=base_models, data=data)
    assert len(base_models.modules) > 10
    assert base_models.left == []


def test_label_smoothing_changes_what_is_trained_not_how_it_is_judged(
    steady_model_dir: Path, base_models: BaseModelCache, data: TokenisedData
) -> None:
    """A head that starts at the same weights is judged by the same loss before it has learnt
    anything."""
    seen = []
    for smoothing in (0.0, 0.5):
        watcher = Watcher()
        trainer = {"label_smoothing_factor": smoothing, "logging_steps": 1, "eval_strategy": "steps", "eval_steps": 1}
        trial = make_plan(steady_model_dir, optimizer={"learning_rate": 1e-12}, trainer=trainer)
        watcher.run(trial, base_models=base_models, data=data)
        seen.append((watcher.steps[0].metrics["train/loss"], watcher.evals[0].metrics["eval/loss"]))
    (loss, judged), (smoothed, judged_alike) = seen
    assert smoothed != pytest.approx(loss, rel=1e-3)
    assert judged_alike == pytest.approx(judged, rel=1e-6)


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant_with_warmup"])
def test_the_learning_rate_warms_up_then_follows_its_schedule(
    plan: Plan, base_models: BaseModelCache, data: TokenisedData, watcher: Watcher, schedule: str
) -> None:
    optimizer = {"learning_rate": 1.0e-3, "warmup_steps": 0.4, "lr_scheduler_type": schedule}
    watcher.run(plan(optimizer=optimizer, trainer={"logging_steps": 1}), base_models=base_models, data=data)
    rates = [step.metrics["train/learning_rate"] * 1000 for step in watcher.steps]
    after = {
        "linear": [1 - step / 6 for step in range(6)],
        "cosine": [(1 + math.cos(math.pi * step / 6)) / 2 for step in range(6)],
        "constant_with_warmup": [1.0] * 6,
    }
    assert rates == pytest.approx([0, 0.25, 0.5, 0.75, *after[schedule]], abs=1e-9)


@pytest.mark.parametrize("name", ["adamw_torch_fused", "paged_adamw_32bit", "paged_adamw_8bit"])
def test_every_optimizer_trains(
    plan: Plan, base_models: BaseModelCache, data: TokenisedData, watcher: Watcher, name: str
) -> None:
    outcome = watcher.run(
        plan(optimizer={"name": name}, trainer={"num_train_epochs": 4}), base_models=base_models, data=data
    )
    assert outcome.evals[-1].metrics["eval/loss"] < outcome.evals[0].metrics["eval/loss"]


def test_a_quantised_base_trains(
    plan: Plan, base_models: BaseModelCache, data: TokenisedData, watcher: Watcher
) -> None:
    adapter = {"method": "lora", "quantization": "nf4", "compute_dtype": "float32"}
    outcome = watcher.run(plan(adapter=adapter, trainer={"num_train_epochs": 1}), base_models=base_models, data=data)
    assert isinstance(outcome, Completed)
    assert outcome.cost.flops > 0


def test_predictions_are_in_the_order_of_the_rows(plan: Plan, base_models: BaseModelCache, data: TokenisedData) -> None:
    with retrained(plan(), base_models=base_models, data=data) as done:
        rows = data.validation(done.tokenizer, None)
        found = done.predict(rows)
        alone = [done.predict(rows.select([row])).scores[0] for row in range(len(rows))]
    assert found.labels.tolist() == rows["labels"][:]
    assert np.allclose(found.scores, np.stack(alone), atol=1e-5)


def test_a_multi_label_trial(plan: Plan, base_models: BaseModelCache, several: TokenisedData, watcher: Watcher) -> None:
    trial = plan(dataset={"task": "multi_label"}, study={"metric": "eval/f1_macro"}, trainer={"num_train_epochs": 6})
    outcome = watcher.run(trial, base_models=base_models, data=several)
    assert isinstance(outcome, Completed)
    assert list(outcome.best.metrics) == [f"eval/{name}" for name in BY_TASK["multi_label"]]
    assert outcome.evals[-1].metrics["eval/loss"] < outcome.evals[0].metrics["eval/loss"]


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_accumulated_batches_train_as_one_batch(
    steady_model_dir: Path, base_models: BaseModelCache, data: TokenisedData, several: TokenisedData, task: str
) -> None:
    """The same rows in each step, so the same loss, gradient and evaluation, but for rounding."""
    runs = []
    for size, accumulated in ((8, 1), (2, 4)):
        watcher = Watcher()
        trial = make_plan(
            steady_model_dir,
            dataset={"task": task},
            adapter={"method": "full"},
            study={"metric": "eval/loss", "direction": "minimize"},
            trainer={
                "per_device_train_batch_size": size,
                "gradient_accumulation_steps": accumulated,
                "logging_steps": 1,
                "train_sampling_strategy": "random",
            },
        )
        watcher.run(trial, base_models=base_models, data=data if task == "single_label" else several)
        runs.append([value for event in watcher.events for value in event.metrics.values()])
    whole, parts = runs
    assert parts == pytest.approx(whole, rel=1e-3)
