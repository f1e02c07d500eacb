"""One trial of a pack: its batches, its gradients, its optimizer steps, its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from support.slots import opened
from sweep.data.tokenise import TokenisedData
from sweep.engine.evaluation import wide
from sweep.engine.optimizer_steps import StepTaken
from sweep.engine.packed.slot import Slot
from sweep.model.base_model_cache import BaseModelCache
from sweep.records.trial import EvalPoint, Failed, FailureReason, Pruned, Step, TrialPlan, Verdict

Plan = Callable[..., TrialPlan]
TWICE = {"gradient_accumulation_steps": 2, "per_device_train_batch_size": 8, "eval_strategy": "no"}
LOSS = torch.tensor(0.5)


@pytest.fixture
def slot(trial: Plan, data: TokenisedData, base_models: BaseModelCache, tmp_path: Path) -> Iterator[Slot]:
    """Two batches make a step: 16, 16 and 8 rows."""
    with opened(trial(0, trainer=TWICE), data=data, base_models=base_models, folder=tmp_path) as (one,):
        yield one


def gradients(slot: Slot, value: float) -> list[tuple[Any, Tensor]]:
    return [(weight, torch.full_like(weight, value)) for weight in slot.steps.weights]


def test_a_batch_is_present_until_it_is_finished(slot: Slot) -> None:
    first = slot.next_batch()
    assert slot.next_batch() is first
    assert slot.items == 16
    assert slot.batch_tokens == sum(len(slot.train.rows[row]) for row in first)
    tokens = slot.batch_tokens
    assert slot.finish_batch(LOSS, None) is False
    assert (slot.tokens, slot.batches, slot.state.samples, slot.state.step) == (tokens, 1, 8, 0)
    assert slot.next_batch() != first


def test_the_losses_of_a_step_add_up_to_the_mean_over_its_rows(slot: Slot) -> None:
    slot.next_batch()
    batches = list(slot.pending)
    vectors = {tuple(batch): torch.randn(len(batch), 32) for batch in batches}
    parts = [slot.loss(vectors[tuple(batch)], torch.tensor(batch)) for batch in batches]
    scores = torch.cat([wide(slot.adapters.head(vectors[tuple(batch)])) for batch in batches])
    whole = functional.cross_entropy(scores, slot.train.labels[torch.tensor(sum(batches, []))])
    torch.testing.assert_close(torch.stack(parts).sum(), whole)


def test_gradients_are_summed_over_the_batches_of_a_step(slot: Slot) -> None:
    seen: list[Tensor] = []
    slot.steps.optimizer.register_step_pre_hook(lambda *_: seen.append(slot.steps.weights[0].grad))
    slot.next_batch()
    given = gradients(slot, 1e-4)
    assert slot.learn(given) is None
    for _, gradient in given:
        gradient.fill_(torch.nan)  # a graph writes the next gradients there
    slot.finish_batch(LOSS, None)
    slot.next_batch()
    before = [weight.detach().clone() for weight in slot.steps.weights]
    taken = slot.learn(gradients(slot, 3e-4))
    assert isinstance(taken, StepTaken)
    torch.testing.assert_close(seen[0], torch.full_like(seen[0], 4e-4))
    assert any(not torch.equal(weight, was) for weight, was in zip(slot.steps.weights, before, strict=True))


def test_each_batch_has_noise_of_its_own(slot: Slot) -> None:
    slot.next_batch()
    first = slot.noise()
    assert slot.noise().key == first.key
    slot.finish_batch(LOSS, None)
    assert slot.noise().key != first.key


def run(slot: Slot, steps: int) -> list[bool]:
    due = []
    for _ in range(steps):
        slot.next_batch()
        due.append(slot.finish_batch(LOSS, slot.learn(gradients(slot, 1e-5))))
    return due


def test_steps_are_reported_and_evaluations_are_due_as_planned(
    trial: Plan, data: TokenisedData, base_models: BaseModelCache, tmp_path: Path
) -> None:
    said: list[Step | EvalPoint] = []

    def judge(_: TrialPlan, event: Step | EvalPoint) -> Verdict:
        said.append(event)
        return Verdict.PRUNE if isinstance(event, EvalPoint) else Verdict.CONTINUE

    plan = trial(0, trainer={"num_train_epochs": 2, "logging_steps": 2})
    with opened(plan, data=data, base_models=base_models, folder=tmp_path, judge=judge) as (slot,):
        assert run(slot, 5) == [False] * 4 + [True]
        assert [bool(event.metrics) for event in said] == [False, True, False, True, False]
        assert slot.state.epoch == 1.0
        slot.on_scores(torch.zeros(len(slot.validation.rows), 4), started=0.0)
        assert isinstance(said[-1], EvalPoint) and said[-1].metrics["eval/loss"] == pytest.approx(
            torch.tensor(4.0).log()
        )
        assert slot.finished
        outcome = slot.outcome()
    assert isinstance(outcome, Pruned)
    assert (outcome.cost.steps, outcome.cost.samples, outcome.cost.train_loss) == (5, 40, 0.5)


def test_a_failure_names_the_step(slot: Slot) -> None:
    slot.fail(FailureReason.OUT_OF_MEMORY, "out of memory")
    outcome = slot.outcome()
    assert slot.finished and isinstance(outcome, Failed)
    assert (outcome.message, outcome.cost.train_loss) == ("after step 0: out of memory", None)


def test_the_sample_holds_the_longest_row_and_the_logits_of_the_model(slot: Slot) -> None:
    rows, logits = slot.sample()
    assert max(len(row) for row in rows) == slot.longest
    assert logits.shape == (len(rows), 4)


def test_rows_are_kept_for_trials_that_use_the_same(
    trial: Plan, data: TokenisedData, base_models: BaseModelCache, tmp_path: Path
) -> None:
    trials = [trial(0), trial(1), trial(2, dataset={"max_length": 5})]
    with opened(*trials, data=data, base_models=base_models, folder=tmp_path) as (one, other, shorter):
        assert one.validation is other.validation is not shorter.validation
        assert one.steps.optimizer is not other.steps.optimizer


def test_a_closed_slot_holds_no_weights(
    trial: Plan, data: TokenisedData, base_models: BaseModelCache, tmp_path: Path
) -> None:
    with opened(trial(0), data=data, base_models=base_models, folder=tmp_path) as (slot,):
        assert slot.bytes > 0
    assert slot.bytes == 0
    assert not hasattr(slot.steps, "optimizer")
