"""Trials on real parts, seen from outside: what is reported, and what comes of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sweep.config.metrics import BY_TASK
from sweep.config.schema import Config
from sweep.data.collate import collator
from sweep.data.labels import LabelSpace
from sweep.data.tokenise import TokenisedData
from sweep.model.artifact import load
from sweep.model.bench import Bench
from sweep.records import Completed, EvalPoint, Failed, FailureReason, Pruned, Step, TrialPlan, Verdict
from sweep.steps import evaluation_steps, total_steps
from sweep.train.evaluation import measure, predict
from sweep.train.loss import mean_loss
from trials import HELD_OUT, ROWS, Remembering, Watcher, make_plan, retrained

Plan = Callable[..., TrialPlan]


def test_a_trial_learns_and_reports_all_of_it(plan: Plan, bench: Bench, data: TokenisedData, watcher: Watcher) -> None:
    trial = plan(trainer={"num_train_epochs": 6})
    outcome = watcher.run(trial, bench=bench, data=data)
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
    plan: Plan, bench: Bench, data: TokenisedData, watcher: Watcher
) -> None:
    watcher.run(plan(trainer={"logging_steps": 4, "num_train_epochs": 2}), bench=bench, data=data)
    logged = {step.step: step.metrics for step in watcher.steps if step.metrics}
    assert list(logged) == [4, 8, 10]
    for metrics in logged.values():
        assert set(metrics) == {"train/loss", "train/learning_rate", "train/grad_norm", "train/epoch"}
    assert logged[8]["train/epoch"] == pytest.approx(8 / 5)


def test_a_logged_loss_is_the_mean_since_the_last_one(plan: Plan, bench: Bench, data: TokenisedData) -> None:
    losses = []
    for every in (1, 5):
        watcher = Watcher()
        watcher.run(plan(trainer={"logging_steps": every, "num_train_epochs": 1}), bench=bench, data=data)
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
    plan: Plan, bench: Bench, data: TokenisedData, watcher: Watcher, trainer: dict[str, Any]
) -> None:
    trial = plan(trainer=trainer)
    outcome = watcher.run(trial, bench=bench, data=data)
    assert outcome.cost.steps == trial.total_steps == total_steps(ROWS, trial.config)
    assert tuple(point.step for point in outcome.evals) == evaluation_steps(ROWS, trial.config)


def test_an_evaluation_follows_the_report_of_its_step(
    plan: Plan, bench: Bench, data: TokenisedData, watcher: Watcher
) -> None:
    watcher.run(plan(trainer={"num_train_epochs": 2}), bench=bench, data=data)
    shape = [(type(event), event.step) for event in watcher.events]
    expected = [(Step, step) for step in range(1, 11)]
    expected[5:5], expected[11:] = [(EvalPoint, 5)], [(EvalPoint, 10)]
    assert shape == expected


@pytest.mark.parametrize(
    ("verdict", "kind", "reason"),
    [
        (Verdict.PRUNE, Pruned, None),
        (Verdict.INTERRUPT, Failed, FailureReason.INTERRUPTED),
        (Verdict.TIME_OUT, Failed, FailureReason.TIMED_OUT),
    ],
)
@pytest.mark.parametrize(("event", "index"), [(Step, 3), (Step, 4), (EvalPoint, 5)])
def test_a_verdict_ends_the_trial_before_its_next_step(
    plan: Plan,
    bench: Bench,
    data: TokenisedData,
    verdict: Verdict,
    kind: type,
    reason: FailureReason | None,
    event: type,
    index: int,
) -> None:
    """Step 3 is not logged, step 4 is, and step 5 is evaluated."""
    watcher = Watcher(lambda each: verdict if isinstance(each, event) and each.step == index else Verdict.CONTINUE)
    outcome = watcher.run(plan(), bench=bench, data=data)
    assert isinstance(outcome, kind)
    assert getattr(outcome, "reason", None) == reason
    assert watcher.events[-1].step == outcome.cost.steps == index
    assert isinstance(watcher.events[-1], event)
    assert len(outcome.evals) == (event is EvalPoint)


def test_after_the_last_evaluation_a_trial_is_complete_unless_pruned(
    plan: Plan, bench: Bench, data: TokenisedData
) -> None:
    kinds = {}
    for verdict in (Verdict.INTERRUPT, Verdict.TIME_OUT, Verdict.PRUNE):
        watcher = Watcher(lambda event, given=verdict: given if isinstance(event, EvalPoint) else Verdict.CONTINUE)
        kinds[verdict] = type(watcher.run(plan(trainer={"num_train_epochs": 1}), bench=bench, data=data))
    assert kinds == {Verdict.INTERRUPT: Completed, Verdict.TIME_OUT: Completed, Verdict.PRUNE: Pruned}


def test_a_loss_that_is_not_finite_fails_the_trial_and_the_next_one_runs(
    plan: Plan, bench: Bench, data: TokenisedData, watcher: Watcher
) -> None:
    bad = plan(optimizer={"learning_rate": 1e30}, trainer={"max_grad_norm": 0.0})
    watcher.run(bad, plan(number=1, trainer={"num_train_epochs": 1}), bench=bench, data=data)
    first, second = watcher.outcomes
    assert isinstance(first, Failed)
    assert first.reason is FailureReason.DIVERGED
    assert "training loss is nan at step 2 of 10" in first.message
    assert first.cost.train_loss is None
    assert all(math.isfinite(value) for step in watcher.steps for value in step.metrics.values())
    assert isinstance(second, Completed)


def test_an_evaluation_that_is_not_finite_fails_the_trial(
    plan: Plan, bench: Bench, data: TokenisedData, watcher: Watcher
) -> None:
    bad = plan(optimizer={"learning_rate": 1e30}, trainer={"eval_strategy": "steps", "eval_steps": 1})
    outcome = watcher.run(bad, bench=bench, data=data)
    assert isinstance(outcome, Failed)
    assert outcome.reason is FailureReason.DIVERGED
    assert outcome.message == "validation loss is nan at step 1 of 10"
    assert outcome.evals == ()


class Breaking(Bench):
    """A bench whose models fail in the forward pass of their third batch."""

    def __init__(self, fail: Callable[[], object]) -> None:
        super().__init__("cpu")
        self.fail = fail

    @contextmanager
    def model(self, config: Config, labels: LabelSpace) -> Iterator[nn.Module]:
        calls = count(1)

        def before_forward(*_: Any) -> None:
            if next(calls) == 3:
                self.fail()

        with super().model(config, labels) as model:
            model.register_forward_pre_hook(before_forward)
            yield model


def test_memory_that_runs_out_fails_the_trial(plan: Plan, data: TokenisedData, watcher: Watcher) -> None:
    bench = Breaking(lambda: torch.empty(2**58))
    outcome = watcher.run(plan(), bench=bench, data=data)
    assert isinstance(outcome, Failed)
    assert outcome.reason is FailureReason.OUT_OF_MEMORY
    assert outcome.message.startswith("after step 2: ")
    assert "allocate" in outcome.message
    assert outcome.cost.steps == 2


def test_memory_that_runs_out_while_loading_fails_the_trial(plan: Plan, data: TokenisedData, watcher: Watcher) -> None:
    class Small(Bench):
        @contextmanager
        def model(self, *_: Any) -> Iterator[nn.Module]:
            torch.empty(2**58)
            yield nn.Identity()

    outcome = watcher.run(plan(), bench=Small("cpu"), data=data)
    assert isinstance(outcome, Failed)
    assert outcome.reason is FailureReason.OUT_OF_MEMORY
    assert outcome.message.startswith("while loading the model: ")


@pytest.mark.parametrize("sections", [{}, {"optimizer": {"name": "paged_adamw_8bit"}}], ids=str)
def test_nothing_of_a_trial_stays_in_memory(
    plan: Plan, data: TokenisedData, watcher: Watcher, sections: dict[str, Any]
) -> None:
    bench = Remembering("cpu")
    watcher.run(plan(adapter={"method": "full"}, **sections), bench=bench, data=data)
    assert len(bench.modules) > 10
    assert bench.left == []


def test_our_own_mistakes_are_not_a_trials_failure(plan: Plan, data: TokenisedData, watcher: Watcher) -> None:
    def fail() -> None:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        watcher.run(plan(), bench=Breaking(fail), data=data)
    assert watcher.outcomes == []


def test_label_smoothing_changes_what_is_trained_not_how_it_is_judged(
    steady_model_dir: Path, bench: Bench, data: TokenisedData
) -> None:
    """A head that starts at the same weights is judged by the same loss before it has learnt anything."""
    seen = []
    for smoothing in (0.0, 0.5):
        watcher = Watcher()
        trainer = {"label_smoothing_factor": smoothing, "logging_steps": 1, "eval_strategy": "steps", "eval_steps": 1}
        trial = make_plan(steady_model_dir, optimizer={"learning_rate": 1e-12}, trainer=trainer)
        watcher.run(trial, bench=bench, data=data)
        seen.append((watcher.steps[0].metrics["train/loss"], watcher.evals[0].metrics["eval/loss"]))
    (loss, judged), (smoothed, judged_alike) = seen
    assert smoothed != pytest.approx(loss, rel=1e-3)
    assert judged_alike == pytest.approx(judged, rel=1e-6)


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant_with_warmup"])
def test_the_learning_rate_warms_up_then_follows_its_schedule(
    plan: Plan, bench: Bench, data: TokenisedData, watcher: Watcher, schedule: str
) -> None:
    optimizer = {"learning_rate": 1.0e-3, "warmup_steps": 0.4, "lr_scheduler_type": schedule}
    watcher.run(plan(optimizer=optimizer, trainer={"logging_steps": 1}), bench=bench, data=data)
    rates = [step.metrics["train/learning_rate"] * 1000 for step in watcher.steps]
    after = {
        "linear": [1 - step / 6 for step in range(6)],
        "cosine": [(1 + math.cos(math.pi * step / 6)) / 2 for step in range(6)],
        "constant_with_warmup": [1.0] * 6,
    }
    assert rates == pytest.approx([0, 0.25, 0.5, 0.75, *after[schedule]], abs=1e-9)


@pytest.mark.parametrize("name", ["adamw_torch_fused", "paged_adamw_32bit", "paged_adamw_8bit"])
def test_every_optimizer_trains(plan: Plan, bench: Bench, data: TokenisedData, watcher: Watcher, name: str) -> None:
    outcome = watcher.run(plan(optimizer={"name": name}, trainer={"num_train_epochs": 4}), bench=bench, data=data)
    assert outcome.evals[-1].metrics["eval/loss"] < outcome.evals[0].metrics["eval/loss"]


def test_a_quantised_base_trains(plan: Plan, bench: Bench, data: TokenisedData, watcher: Watcher) -> None:
    adapter = {"method": "lora", "quantization": "nf4", "compute_dtype": "float32"}
    outcome = watcher.run(plan(adapter=adapter, trainer={"num_train_epochs": 1}), bench=bench, data=data)
    assert isinstance(outcome, Completed)
    assert outcome.cost.flops > 0


@pytest.mark.parametrize(("strategy", "evaluated_at"), [("epoch", [5, 10, 15]), ("early", [1, 3, 5, 10])])
def test_early_stopping_counts_evaluations_without_a_gain(
    plan: Plan, bench: Bench, data: TokenisedData, watcher: Watcher, strategy: str, evaluated_at: list[int]
) -> None:
    """But not those within the first epoch, which are there for the pruner."""
    trial = plan(
        optimizer={"learning_rate": 1e-9},
        trainer={
            "num_train_epochs": 6, "eval_strategy": strategy,
            "early_stopping_patience": 2, "early_stopping_threshold": 0.01,
        },
    )  # fmt: skip
    outcome = watcher.run(trial, bench=bench, data=data)
    assert isinstance(outcome, Completed)
    assert outcome.stopped_early
    assert [point.step for point in outcome.evals] == evaluated_at
    assert outcome.best.index == 1


def test_the_best_of_the_study_metric_counts_the_earliest_of_equals(
    plan: Plan, bench: Bench, data: TokenisedData, watcher: Watcher
) -> None:
    study = {"metric": "eval/loss", "direction": "minimize"}
    outcome = watcher.run(plan(study=study, trainer={"num_train_epochs": 4}), bench=bench, data=data)
    assert isinstance(outcome, Completed)
    assert outcome.best == min(outcome.evals, key=lambda point: point.metrics["eval/loss"])


@pytest.mark.parametrize("method", ["lora", "ia3", "head", "full"])
def test_the_model_left_is_that_of_the_best_evaluation(
    plan: Plan, bench: Bench, data: TokenisedData, watcher: Watcher, method: str
) -> None:
    trial = plan(adapter={"method": method}, trainer={"num_train_epochs": 4, "eval_strategy": "steps", "eval_steps": 1})
    with retrained(trial, bench=bench, data=data) as done:
        assert isinstance(done.outcome, Completed)
        found = done.predict(data.validation(done.tokenizer, None))
    assert measure("single_label", found, "eval") == done.outcome.best.metrics
    assert found.scores.shape == (HELD_OUT, 4)


def test_predictions_are_in_the_order_of_the_rows(plan: Plan, bench: Bench, data: TokenisedData) -> None:
    with retrained(plan(), bench=bench, data=data) as done:
        rows = data.validation(done.tokenizer, None)
        found = done.predict(rows)
        alone = [done.predict(rows.select([row])).scores[0] for row in range(len(rows))]
    assert found.labels.tolist() == rows["labels"][:]
    assert np.allclose(found.scores, np.stack(alone), atol=1e-5)


def test_a_multi_label_trial(plan: Plan, bench: Bench, several: TokenisedData, watcher: Watcher) -> None:
    trial = plan(dataset={"task": "multi_label"}, study={"metric": "eval/f1_macro"}, trainer={"num_train_epochs": 6})
    outcome = watcher.run(trial, bench=bench, data=several)
    assert isinstance(outcome, Completed)
    assert list(outcome.best.metrics) == [f"eval/{name}" for name in BY_TASK["multi_label"]]
    assert outcome.evals[-1].metrics["eval/loss"] < outcome.evals[0].metrics["eval/loss"]


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_accumulated_batches_train_as_one_batch(
    steady_model_dir: Path, bench: Bench, data: TokenisedData, several: TokenisedData, task: str
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
        watcher.run(trial, bench=bench, data=data if task == "single_label" else several)
        runs.append([value for event in watcher.events for value in event.metrics.values()])
    whole, parts = runs
    assert parts == pytest.approx(whole, rel=1e-3)


def test_the_best_adapter_is_on_disk_and_nothing_else(
    plan: Plan, bench: Bench, data: TokenisedData, watcher: Watcher, tmp_path: Path
) -> None:
    from sweep.model.artifact import load

    trial = plan(trainer={"num_train_epochs": 3, "save_best": True})
    outcome = watcher.run(trial, bench=bench, data=data, best_dir=tmp_path / "best")
    assert isinstance(outcome, Completed)
    assert [entry.name for entry in tmp_path.iterdir() if not entry.name.startswith(".")] == ["best"]
    model, tokenizer = load(tmp_path / "best")
    assert model(**tokenizer(["card fees"], return_tensors="pt")).logits.shape == (1, 4)


@pytest.mark.parametrize("method", ["lora", "head"])
def test_the_newest_adapter_is_replaced_at_each_evaluation(
    plan: Plan, bench: Bench, data: TokenisedData, tmp_path: Path, method: str
) -> None:
    """A learning rate that makes things worse: the first evaluation is the best, the last the newest."""
    trial = plan(
        adapter={"method": method},
        study={"metric": "eval/loss", "direction": "minimize"},
        optimizer={"learning_rate": 5.0, "lr_scheduler_type": "constant"},
        trainer={
            "save_best": True,
            "save_newest": True,
            "eval_strategy": "steps",
            "eval_steps": 1,
            "max_grad_norm": 0.0,
        },
    )
    watcher = Watcher()
    outcome = watcher.run(trial, bench=bench, data=data, best_dir=tmp_path / "best")
    assert isinstance(outcome, Completed)
    assert outcome.best.step < outcome.evals[-1].step
    losses = {}
    for name in ("best", "newest"):
        model, tokenizer = load(tmp_path / name)
        rows = data.validation(tokenizer, None)
        losses[name] = predict(
            model, rows, collate=collator(tokenizer, data.splits.labels), batch_size=32, loss=mean_loss(trial.config)
        ).loss
    assert losses["best"] == pytest.approx(outcome.best.metrics["eval/loss"], rel=1e-4)
    assert losses["newest"] == pytest.approx(outcome.evals[-1].metrics["eval/loss"], rel=1e-4)
