"""The head alone on cached features, against the Trainer with the base held in evaluation mode."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import RobertaConfig, RobertaForSequenceClassification

from support.packs import one_by_one
from support.snapshots import StopAll, assert_uninterrupted, gone_on, with_snapshots
from support.tiny import tiny_bert, tiny_distilbert, tiny_gpt2, tiny_llama
from support.trials import ROWS, Watcher, make_plan, retrained
from sweep.data.tokenise import TokenisedData
from sweep.engine import cached_head
from sweep.model.base_model_cache import BaseModelCache
from sweep.records.trial import Completed, EvalPoint, Failed, FailureReason, Step, TrialPlan, Verdict

HEAD = {"method": "head"}


def by_trainer(trial: TrialPlan, data: TokenisedData, monkeypatch: pytest.MonkeyPatch) -> Watcher:
    """Train the trial by the Hugging Face Trainer, row by row through the whole model."""
    watcher = Watcher()
    with monkeypatch.context() as patched:
        patched.setattr(cached_head, "suits", lambda config: False)
        watcher.run(trial, base_models=BaseModelCache("cpu"), data=data)
    return watcher


def on_features(trial: TrialPlan, data: TokenisedData, monkeypatch: pytest.MonkeyPatch) -> Watcher:
    watcher = Watcher()
    with monkeypatch.context() as patched:
        patched.setattr("sweep.engine.reporting_trainer.train", None)  # falling back would fail
        watcher.run(trial, base_models=BaseModelCache("cpu"), data=data)
    return watcher


def assert_alike(found: Watcher, expected: Watcher, tolerance: float = 1e-5) -> None:
    found.events = [event for event in found.events if event.step]
    assert len(found.events) == len(expected.events) > 0
    for one, other in zip(found.events, expected.events, strict=True):
        assert (type(one), one.step, one.epoch) == (type(other), other.step, other.epoch)
        assert one.metrics == pytest.approx(other.metrics, abs=tolerance, rel=tolerance, nan_ok=True)
    assert type(found.outcomes[0]) is type(expected.outcomes[0])
    ours, theirs = found.outcomes[0].cost, expected.outcomes[0].cost
    assert (ours.steps, ours.samples, ours.eval_samples) == (theirs.steps, theirs.samples, theirs.eval_samples)
    assert ours.train_loss == pytest.approx(theirs.train_loss, rel=tolerance)


def tiny_roberta(folder: Path) -> Path:
    tiny_bert(folder)
    shape = RobertaConfig(
        vocab_size=64, max_position_embeddings=80, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, pad_token_id=0,
    )  # fmt: skip
    torch.manual_seed(3)
    RobertaForSequenceClassification(shape).save_pretrained(folder)
    return folder


BASES: dict[str, Callable[[Path], Path]] = {
    "bert": tiny_bert,
    "bert-fresh-pooler": lambda folder: tiny_bert(folder, pooler=False),
    "distilbert": tiny_distilbert,
    "gpt2": tiny_gpt2,
    "llama": tiny_llama,
    "roberta": tiny_roberta,
}


@pytest.mark.parametrize("name", BASES)
def test_a_head_on_features_is_the_head_on_its_base(
    data: TokenisedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Dropout of the head is on: it draws the same numbers."""
    trial = make_plan(BASES[name](tmp_path), adapter=HEAD, trainer={"logging_steps": 1})
    assert_alike(on_features(trial, data, monkeypatch), by_trainer(trial, data, monkeypatch))


@pytest.mark.parametrize(
    "sections",
    [
        {"trainer": {"train_sampling_strategy": "random", "num_train_epochs": 3, "logging_steps": 1}},
        {"trainer": {"gradient_accumulation_steps": 3, "per_device_train_batch_size": 4, "num_train_epochs": 1.5}},
        {"trainer": {"max_grad_norm": 0.0, "label_smoothing_factor": 0.1, "eval_strategy": "steps", "eval_steps": 3}},
        {"trainer": {"class_weights": "balanced", "gradient_accumulation_steps": 2, "per_device_train_batch_size": 7}},
        {"trainer": {"focal_gamma": 2.0, "class_weights": (1.0, 2.0, 3.0, 0.5), "label_smoothing_factor": 0.1}},
        {"trainer": {"logit_adjustment_tau": 1.0, "gradient_accumulation_steps": 3, "per_device_train_batch_size": 4}},
        {"trainer": {"max_grad_norm": 0.05, "seed": 7, "eval_strategy": "no", "num_train_epochs": 0.5}},
        {"optimizer": {"weight_decay": 0.5, "warmup_steps": 4, "lr_scheduler_type": "cosine"}},
        {"optimizer": {"name": "adamw_torch_fused", "warmup_steps": 0.2, "adam_beta1": 0.8}},
        {"optimizer": {"name": "paged_adamw_32bit", "lr_scheduler_type": "constant_with_warmup", "warmup_steps": 2}},
    ],
    ids=str,
)
def test_every_setting_means_what_it_means_to_the_trainer(
    plan: Callable[..., TrialPlan], data: TokenisedData, monkeypatch: pytest.MonkeyPatch, sections: dict[str, Any]
) -> None:
    trial = plan(adapter=HEAD, **sections)
    assert_alike(on_features(trial, data, monkeypatch), by_trainer(trial, data, monkeypatch))


def test_several_labels(
    plan: Callable[..., TrialPlan], several: TokenisedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = plan(
        adapter=HEAD,
        dataset={"task": "multi_label"},
        study={"metric": "eval/f1_macro"},
        trainer={
            "label_smoothing_factor": 0.2,
            "gradient_accumulation_steps": 2,
            "class_weights": "balanced",
            "focal_gamma": 1.0,
            "logit_adjustment_tau": 0.5,
        },  # fmt: skip
    )
    assert_alike(on_features(trial, several, monkeypatch), by_trainer(trial, several, monkeypatch))


def test_in_bf16(plan: Callable[..., TrialPlan], data: TokenisedData, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = plan(adapter=HEAD, trainer={"bf16": True})
    assert_alike(on_features(trial, data, monkeypatch), by_trainer(trial, data, monkeypatch), tolerance=2e-2)


def test_quantised(plan: Callable[..., TrialPlan], data: TokenisedData, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = plan(adapter={**HEAD, "quantization": "nf4", "compute_dtype": "float32"})
    assert_alike(on_features(trial, data, monkeypatch), by_trainer(trial, data, monkeypatch), tolerance=1e-4)


def test_patience_counts_evaluations(
    plan: Callable[..., TrialPlan], data: TokenisedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = plan(
        adapter=HEAD,
        optimizer={"learning_rate": 1e-9},
        trainer={"eval_strategy": "steps", "eval_steps": 2, "early_stopping_patience": 2},
    )
    found = on_features(trial, data, monkeypatch)
    outcome = found.outcomes[0]
    assert isinstance(outcome, Completed) and outcome.stopped_early
    assert [point.step for point in outcome.evals] == [2, 4, 6]
    assert_alike(found, by_trainer(trial, data, monkeypatch))


def test_the_base_runs_once_for_a_study(
    plan: Callable[..., TrialPlan], data: TokenisedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second cache, as of a later run, reads the file; a damaged file is written again."""
    computed: list[int] = []
    real = cached_head.states
    monkeypatch.setattr(cached_head, "states", lambda *given: computed.append(1) or real(*given))
    losses = []
    first = BaseModelCache("cpu", features=tmp_path)
    for base_models, seed in ((first, 0), (first, 1), (BaseModelCache("cpu", features=tmp_path), 0)):
        outcome = Watcher().run(plan(adapter=HEAD, trainer={"seed": seed}), base_models=base_models, data=data)
        losses.append(outcome.evals[-1].metrics["eval/loss"])
    assert len(computed) == 2  # train and validation
    assert losses[0] == losses[2] != losses[1]
    files = list(tmp_path.glob("*-*"))
    assert len(files) == 2
    for file in files:
        file.write_bytes(file.read_bytes()[:40])
    outcome = Watcher().run(plan(adapter=HEAD), base_models=BaseModelCache("cpu", features=tmp_path), data=data)
    assert outcome.evals[-1].metrics["eval/loss"] == losses[0]
    assert len(computed) == 4


def test_a_head_that_reads_more_goes_to_the_trainer(
    plan: Callable[..., TrialPlan], data: TokenisedData, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    trial = plan(adapter=HEAD)
    expected = by_trainer(trial, data, monkeypatch)
    watcher = Watcher()
    monkeypatch.setattr("sweep.model.features.OWN", {})
    watcher.run(trial, plan(number=1, adapter=HEAD), base_models=BaseModelCache("cpu"), data=data)
    assert caplog.text.count("more of the base than one vector a row: the Trainer trains it") == 1
    assert_alike(watcher, Watcher(events=expected.events * 2, outcomes=expected.outcomes))


@pytest.mark.parametrize("step", [0, 3])
def test_the_study_can_end_a_trial_while_features_are_computed(
    plan: Callable[..., TrialPlan], data: TokenisedData, step: int
) -> None:
    def judge(event: Step | EvalPoint) -> Verdict:
        return Verdict.INTERRUPT if event.step == step else Verdict.CONTINUE

    outcome = Watcher(judge).run(plan(adapter=HEAD), base_models=BaseModelCache("cpu"), data=data)
    assert isinstance(outcome, Failed) and outcome.reason is FailureReason.INTERRUPTED
    assert outcome.cost.steps == step


def test_a_loss_that_is_not_finite_fails_the_trial(plan: Callable[..., TrialPlan], data: TokenisedData) -> None:
    trial = plan(adapter=HEAD, optimizer={"learning_rate": 3e37}, trainer={"max_grad_norm": 0.0})
    outcome = Watcher().run(trial, base_models=BaseModelCache("cpu"), data=data)
    assert isinstance(outcome, Failed) and outcome.reason is FailureReason.DIVERGED


def test_the_whole_model_predicts_what_the_head_did(plan: Callable[..., TrialPlan], data: TokenisedData) -> None:
    base_models, trial = BaseModelCache("cpu"), plan(adapter=HEAD)
    with retrained(trial, base_models=base_models, data=data) as done:
        found = done.predict(data.validation(done.tokenizer, None))
        assert isinstance(done.outcome, Completed)
        assert found.loss == pytest.approx(done.outcome.best.metrics["eval/loss"], abs=1e-5)


def test_the_cost_of_a_trial(plan: Callable[..., TrialPlan], data: TokenisedData) -> None:
    """The trial that ran the base pays for it."""
    base_models, watcher = BaseModelCache("cpu"), Watcher()
    watcher.run(plan(adapter=HEAD), plan(number=1, adapter=HEAD), base_models=base_models, data=data)
    first, second = (outcome.cost for outcome in watcher.outcomes)
    assert (first.samples, first.eval_samples, first.device) == (2 * ROWS, 2 * 22, "cpu")
    with base_models.model(plan(adapter=HEAD).settings, data.splits.labels) as model:
        trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    assert second.flops == 6 * 2 * ROWS * trained < first.flops
    assert second.train_seconds + second.eval_seconds < second.seconds


@pytest.mark.parametrize("kept", [True, False])
def test_a_head_that_goes_on_costs_its_vectors_once(
    plan: Callable[..., TrialPlan], data: TokenisedData, kept: bool
) -> None:
    """Its process has the vectors, or computes them again."""
    begun = plan(adapter=HEAD)
    trial = replace(begun, config=with_snapshots(begun.config))
    base_models = BaseModelCache("cpu")
    first = one_by_one(trial, data=data, base_models=base_models, judge=StopAll(9))
    going_on = gone_on(first, trial)
    assert [one.snapshot is not None for one in going_on] == [True]
    again = one_by_one(*going_on, data=data, base_models=base_models if kept else None)
    assert_uninterrupted(one_by_one(trial, data=data), first, again)


def test_a_metric_that_no_row_defines_is_so_for_both(
    plan: Callable[..., TrialPlan], data: TokenisedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held_out = data.splits.validation
    of_one_label = replace(held_out, labels=(0,) * len(held_out))
    rows = TokenisedData(replace(data.splits, validation=of_one_label), tmp_path)
    trial = plan(adapter=HEAD, dataset={"metrics": ("auroc_macro",)})
    found, expected = on_features(trial, rows, monkeypatch), by_trainer(trial, rows, monkeypatch)
    assert all(math.isnan(event.metrics["eval/auroc_macro"]) for event in found.events if isinstance(event, EvalPoint))
    assert_alike(found, expected)
