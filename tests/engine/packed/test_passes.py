"""The training pass and the evaluation pass, against each trial's own padded model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from support.slots import opened, out_of_memory, packed_model
from sweep.data.collate import collator
from sweep.data.tokenise import TokenisedData
from sweep.engine.evaluation import predict
from sweep.engine.loss import mean_loss
from sweep.engine.optimizer_steps import StepTaken
from sweep.engine.packed.packed_model import PackedModel
from sweep.engine.packed.passes import Evaluation, score_pass, train_pass
from sweep.engine.packed.slot import Slot
from sweep.model.base_model_cache import BaseModelCache
from sweep.records.trial import TrialPlan

Plan = Callable[..., TrialPlan]


@pytest.fixture
def slots(trial: Plan, data: TokenisedData, base_models: BaseModelCache, tmp_path: Path) -> Iterator[list[Slot]]:
    """Plain SGD at a rate of 1: a step subtracts the gradient."""
    plain = {"name": "sgd", "learning_rate": 1.0, "lr_scheduler_type": "constant"}
    trials = [
        trial(0, optimizer=plain, trainer={"max_grad_norm": 0.0}),
        trial(1, optimizer=plain, adapter={"method": "ia3"},
              trainer={"seed": 1, "max_grad_norm": 0.0, "per_device_train_batch_size": 5}),
        trial(2, optimizer=plain, trainer={"seed": 2, "gradient_accumulation_steps": 2}),
    ]  # fmt: skip
    with opened(*trials, data=data, base_models=base_models, folder=tmp_path) as found:
        for slot in found:
            slot.next_batch()
        yield found


@pytest.fixture
def model(slots: list[Slot], data: TokenisedData, base_models: BaseModelCache) -> PackedModel:
    return packed_model(*slots, data=data, base_models=base_models)


def by_its_own_model(slot: Slot, data: TokenisedData, base_models: BaseModelCache) -> tuple[Tensor, list[Tensor]]:
    """The loss of the present batch and its gradients, padded and alone."""
    collate = collator(base_models.tokenizer(slot.settings.model), data.splits.labels)
    batch = dict(collate(slot.train.dataset.__getitems__(slot.pending[0])))
    labels = batch.pop("labels")
    slot.adapters.model.train()
    loss = functional.cross_entropy(slot.adapters.model(**batch).logits, labels, reduction="sum") / slot.items
    return loss.detach(), list(torch.autograd.grad(loss, slot.steps.weights))


def test_a_training_pass_steps_as_each_model_would(
    model: PackedModel, slots: list[Slot], data: TokenisedData, base_models: BaseModelCache
) -> None:
    expected = [by_its_own_model(slot, data, base_models) for slot in slots]
    before = [[weight.detach().clone() for weight in slot.steps.weights] for slot in slots]
    found = train_pass(model, slots)
    for slot, (loss, _), (wanted, _) in zip(slots, found, expected, strict=True):
        torch.testing.assert_close(loss, wanted, rtol=1e-4, atol=1e-5)
        assert not loss.requires_grad, slot.plan.number
    assert [type(taken) for _, taken in found] == [StepTaken, StepTaken, type(None)]
    for number in (0, 1):
        for weight, was, gradient in zip(slots[number].steps.weights, before[number], expected[number][1], strict=True):
            torch.testing.assert_close(was - weight.detach(), gradient, rtol=1e-3, atol=1e-5)
    for weight, gradient in zip(slots[2].steps.weights, expected[2][1], strict=True):
        assert weight.grad is not None  # kept for the second batch of its step
        torch.testing.assert_close(weight.grad, gradient, rtol=1e-3, atol=1e-5)


def test_an_optimizer_that_runs_out_of_memory_is_distinguished_from_the_pass(
    model: PackedModel, slots: list[Slot], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots[0].steps.optimizer, "step", out_of_memory)
    (_, first), (_, second), _ = train_pass(model, slots)
    assert isinstance(first, torch.OutOfMemoryError)
    assert isinstance(second, StepTaken)


@pytest.mark.parametrize(("tokens", "seconds"), [(10_000, 60.0), (40, 60.0), (40, 0.0)])
def test_an_evaluation_pass_scores_all_rows_in_their_order(
    model: PackedModel, slots: list[Slot], data: TokenisedData, base_models: BaseModelCache, tokens: int, seconds: float
) -> None:
    """With few tokens in a pass a chunk holds few rows; without time a pass has one chunk."""
    evaluation = Evaluation(slots, tokens)
    chunks, passes = len(evaluation.left), 0
    while evaluation.left:
        score_pass(model, evaluation, seconds=seconds)
        passes += 1
    assert passes == (1 if seconds else chunks)
    for slot, scores in zip(slots, evaluation.scores(), strict=True):
        tokenizer = base_models.tokenizer(slot.settings.model)
        expected = predict(
            slot.adapters.model, data.validation(tokenizer, None), collate=collator(tokenizer, data.splits.labels),
            batch_size=32, loss=mean_loss(slot.settings),
        )  # fmt: skip
        torch.testing.assert_close(scores, torch.from_numpy(expected.scores), rtol=1e-4, atol=1e-4)
