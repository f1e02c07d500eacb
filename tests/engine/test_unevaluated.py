"""A training without evaluations, on train and validation rows together, as for a refit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from support.trials import HELD_OUT, ROWS, Watcher, make_plan
from sweep.config.steps import total_steps
from sweep.data.tokenise import TokenisedData
from sweep.engine import cached_head
from sweep.engine.probe import initialise_head
from sweep.engine.protocol import StudyCallbacks
from sweep.engine.trainer import Trained, trained
from sweep.model.account import unwrapped
from sweep.model.base_model_cache import BaseModelCache
from sweep.model.state import trainable_state
from sweep.records.cost import Cost
from sweep.records.trial import Failed, FailureReason, Step, TrialPlan, Verdict

Plan = Callable[..., TrialPlan]
ALL = ROWS + HELD_OUT  # 62 rows: 8 batches of 8 an epoch, where the train rows alone make 5


@pytest.fixture
def merged(data: TokenisedData) -> TokenisedData:
    return TokenisedData(data.splits.merged, data.cache)


@pytest.fixture(autouse=True)
def nothing_is_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweep.engine.trainer.predict", None)
    monkeypatch.setattr(cached_head.CachedHeadLoop, "evaluate", None)


def fitted(
    trial: TrialPlan, steps: int, *, base_models: BaseModelCache, data: TokenisedData, watcher: Watcher
) -> dict[str, Tensor]:
    """Return the trained weights."""
    with training(replace(trial, total_steps=steps), base_models, data, watcher) as done:
        assert done.failed is None
        return trainable_state(done.model)


def training(trial: TrialPlan, base_models: BaseModelCache, data: TokenisedData, watcher: Watcher) -> Any:
    def heard(event: Any) -> Verdict:
        return watcher._hear(trial, event)

    return trained(trial, base_models=base_models, data=data, study=StudyCallbacks(heard, heard), evaluated=False)


def cost(trial: TrialPlan, base_models: BaseModelCache, data: TokenisedData) -> Cost:
    with training(trial, base_models, data, Watcher()) as done:
        assert isinstance(done, Trained)
        return done.cost


def test_merged_rows_are_train_then_validation_and_leave_nothing_to_score(data: TokenisedData) -> None:
    splits, merged = data.splits, data.splits.merged
    assert merged.train.texts == splits.train.texts + splits.validation.texts
    assert merged.train.labels == splits.train.labels + splits.validation.labels
    assert (len(merged.train), len(merged.validation), merged.test) == (ALL, 0, None)


@pytest.mark.parametrize("method", ["lora", "head"])
def test_it_stops_on_the_way_of_the_whole_schedule(
    plan: Plan, base_models: BaseModelCache, merged: TokenisedData, watcher: Watcher, method: str
) -> None:
    trial = plan(adapter={"method": method}, trainer={"logging_steps": 1, "num_train_epochs": 4})
    fitted(trial, 16, base_models=base_models, data=merged, watcher=watcher)
    assert watcher.evals == []
    steps = [step for step in watcher.steps if step.step]
    assert [step.step for step in steps] == list(range(1, 17))
    assert (steps[-1].epoch, steps[-1].total_steps) == (2.0, 16)
    whole = total_steps(ALL, trial.config.trainer)
    expected = [5e-3 * (1 - step / whole) for step in range(16)]
    assert whole == 32
    assert [step.metrics["train/learning_rate"] for step in steps] == pytest.approx(expected)


@pytest.mark.parametrize("method", ["lora", "head"])
def test_every_row_is_trained_on_and_the_last_step_is_logged(
    plan: Plan, base_models: BaseModelCache, merged: TokenisedData, method: str
) -> None:
    trial = replace(plan(adapter={"method": method}, trainer={"logging_steps": 7}), total_steps=8)
    spent = cost(trial, base_models, merged)
    assert (spent.steps, spent.samples, spent.eval_samples, spent.eval_seconds) == (8, ALL, 0, 0.0)
    assert spent.engine == {"lora": "trainer", "head": "frozen"}[method]
    assert spent.train_loss is not None
    watcher = Watcher()
    fitted(trial, 8, base_models=base_models, data=merged, watcher=watcher)
    assert [step.step for step in watcher.steps if step.metrics] == [7, 8]


@pytest.mark.parametrize("method", ["lora", "head"])
def test_the_same_numbers_again_and_others_than_on_the_train_rows(
    plan: Plan, base_models: BaseModelCache, data: TokenisedData, merged: TokenisedData, watcher: Watcher, method: str
) -> None:
    trial = plan(adapter={"method": method})
    first, again = (fitted(trial, 10, base_models=base_models, data=merged, watcher=watcher) for _ in range(2))
    on_train = fitted(trial, 10, base_models=base_models, data=data, watcher=watcher)
    for name, weight in first.items():
        assert torch.equal(weight, again[name])
    assert any(not torch.equal(weight, on_train[name]) for name, weight in first.items())


@pytest.mark.parametrize("method", ["lora", "head"])
def test_a_latency_is_not_measured_without_rows(
    plan: Plan, base_models: BaseModelCache, merged: TokenisedData, method: str
) -> None:
    searched = {"metric": "eval/accuracy", "second_metric": "predict/latency_ms", "second_direction": "minimize"}
    trial = replace(plan(adapter={"method": method}, study=searched), total_steps=1)
    assert trial.watched
    found = cost(trial, base_models, merged)
    assert found.steps == 1 and not found.measured


def test_cached_features_give_what_the_whole_model_gives(
    steady_model_dir: Path, merged: TokenisedData, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = make_plan(steady_model_dir, adapter={"method": "head"})
    on_features = fitted(trial, 10, base_models=BaseModelCache("cpu"), data=merged, watcher=watcher)
    monkeypatch.setattr(cached_head, "suits", lambda config: False)
    whole = fitted(trial, 10, base_models=BaseModelCache("cpu"), data=merged, watcher=watcher)
    for name, weight in whole.items():
        assert on_features[name] == pytest.approx(weight, abs=1e-5)


def test_a_probe_is_fitted_on_all_rows(
    plan: Plan, base_models: BaseModelCache, data: TokenisedData, merged: TokenisedData, watcher: Watcher
) -> None:
    trial = plan(adapter={"method": "lora", "head_init": "probe"}, optimizer={"learning_rate": 1e-12})
    weights = fitted(trial, 1, base_models=base_models, data=merged, watcher=watcher)
    starts = {}
    for name, rows in (("all", merged), ("train", data)):
        with base_models.model(trial.settings, rows.splits.labels) as model:
            initialise_head(model, trial.settings, base_models=base_models, data=rows)
            starts[name] = unwrapped(model).classifier.modules_to_save["default"].weight.detach().clone()
    (found,) = (
        weight for name, weight in weights.items() if name.endswith("classifier.modules_to_save.default.weight")
    )
    assert torch.allclose(found, starts["all"], atol=1e-6)
    assert not torch.allclose(found, starts["train"], atol=1e-3)


@pytest.mark.parametrize("method", ["lora", "head"])
def test_weights_that_are_not_finite_fail_it_although_no_loss_showed_it(
    plan: Plan, base_models: BaseModelCache, merged: TokenisedData, watcher: Watcher, method: str
) -> None:
    decay = {"learning_rate": 1e20, "weight_decay": 1e20}  # their product is too large for a float32
    trial = replace(plan(adapter={"method": method}, optimizer=decay), total_steps=1)
    with training(trial, base_models, merged, watcher) as done:
        failed = done.failed
    assert isinstance(failed, Failed)
    assert (failed.reason, failed.message) == (FailureReason.DIVERGED, "weights are not finite after step 1")


def test_a_loss_that_is_not_finite_and_a_verdict_end_it(
    plan: Plan, base_models: BaseModelCache, merged: TokenisedData
) -> None:
    trial = replace(plan(optimizer={"learning_rate": 1e30}, trainer={"max_grad_norm": 0}), total_steps=8)
    with training(trial, base_models, merged, Watcher()) as done:
        assert done.failed.reason is FailureReason.DIVERGED and "training loss is" in done.failed.message
    stopped = Watcher(lambda event: Verdict.INTERRUPT if isinstance(event, Step) else Verdict.CONTINUE)
    with training(replace(plan(), total_steps=8), base_models, merged, stopped) as done:
        assert (done.failed.reason, done.failed.message) == (FailureReason.INTERRUPTED, "after step 1")


def test_a_multi_label_task(plan: Plan, base_models: BaseModelCache, several: TokenisedData, watcher: Watcher) -> None:
    data = TokenisedData(several.splits.merged, several.cache)
    trial = plan(dataset={"task": "multi_label"}, study={"metric": "eval/f1_micro"})
    assert fitted(trial, 8, base_models=base_models, data=data, watcher=watcher)
