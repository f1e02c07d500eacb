"""The packed model: vectors of several trials at once are those of each trial's own model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from support.slots import opened, packed_model
from sweep.data.tokenise import TokenisedData
from sweep.engine.packed.noise import Noise
from sweep.engine.packed.packed_model import PackedModel
from sweep.engine.packed.slot import Slot
from sweep.model.base_model_cache import BaseModelCache
from sweep.model.features import NotPackable
from sweep.records.trial import TrialPlan

Plan = Callable[..., TrialPlan]
CPU = torch.device("cpu")


@pytest.fixture
def slots(trial: Plan, data: TokenisedData, base_models: BaseModelCache, tmp_path: Path) -> Iterator[list[Slot]]:
    """LoRA of two ranks on unlike layers, and IA3; none of them is at its start any more."""
    trials = [
        trial(0, adapter={"r": 4}),
        trial(1, adapter={"r": 2, "target_modules": ("key",)}),
        trial(2, adapter={"method": "ia3"}),
    ]
    with opened(*trials, data=data, base_models=base_models, folder=tmp_path) as found:
        with torch.no_grad():
            for number, slot in enumerate(found):
                generator = torch.Generator().manual_seed(number)
                for weight in slot.steps.weights:
                    weight.add_(0.3 * torch.randn(weight.shape, generator=generator))
        yield found


@pytest.fixture
def model(slots: list[Slot], data: TokenisedData, base_models: BaseModelCache) -> PackedModel:
    return packed_model(*slots, data=data, base_models=base_models)


def test_logits_are_compared_for_the_longest_row_so_far(model: PackedModel, slots: list[Slot]) -> None:
    longest = slots[0].longest
    assert not model.compares(longest)
    assert model.compares(longest + 1)


def test_each_trial_gets_the_logits_of_its_own_model(model: PackedModel, slots: list[Slot]) -> None:
    samples = [slot.sample() for slot in slots]
    model.train(False)
    with torch.no_grad():
        model.load([slot.adapters for slot in slots])
        vectors = model.vectors(model.batch([rows for rows, _ in samples]))
        for slot, one, (_, logits) in zip(slots, vectors, samples, strict=True):
            torch.testing.assert_close(slot.adapters.head(one), logits, rtol=1e-4, atol=1e-4)
    model.clear()


def test_a_trial_that_left_changes_nothing(model: PackedModel, slots: list[Slot]) -> None:
    rows, logits = slots[2].sample()
    model.train(False)
    with torch.no_grad():
        for loaded in (slots, slots[2:], slots[::-1]):
            model.load([slot.adapters for slot in loaded])
            vectors = model.vectors(model.batch([rows] * len(loaded)))
            torch.testing.assert_close(
                slots[2].adapters.head(vectors[loaded.index(slots[2])]), logits, rtol=1e-4, atol=1e-4
            )
    model.clear()


def test_new_weights_are_taken_when_they_are_loaded_again(model: PackedModel, slots: list[Slot]) -> None:
    (slot, *_), rows = slots, slots[0].sample()[0]
    model.train(False)

    def vectors() -> torch.Tensor:
        model.load([slot.adapters])
        return model.vectors(model.batch([rows]))[0]

    with torch.no_grad():
        first = vectors()
        for weight in slot.steps.weights:
            weight.add_(0.1)
        assert not torch.allclose(vectors(), first)
    model.clear()


def test_gradients_are_split_by_trial(model: PackedModel, slots: list[Slot]) -> None:
    """Only the first trial's vectors have a gradient: that of any other trial is zero."""
    model.train(True)
    model.load([slot.adapters for slot in slots])
    rows = [slot.train.rows[:3] for slot in slots]
    forward = model.forward(model.batch(rows, [Noise(0, 0, CPU)] * 3))
    given = torch.zeros_like(forward.vectors)
    given[:3] = 1.0
    found = model.weight_grads(forward.back(given))
    model.clear()
    for slot, own in zip(slots, found, strict=True):
        weights = {id(weight) for adapter in slot.adapters.adapters.values() for weight in adapter.weights}
        assert {id(weight) for weight, _ in own} == weights
        assert all(weight.shape == gradient.shape for weight, gradient in own)
        assert any(bool(gradient.abs().sum() > 0) for _, gradient in own) is (slot is slots[0])


def test_logits_that_differ_are_refused(slots: list[Slot], data: TokenisedData, base_models: BaseModelCache) -> None:
    model = PackedModel(base_models.frozen(slots[0].settings, data.splits.labels))
    rows, logits = slots[0].sample()
    with pytest.raises(NotPackable, match="BertForSequenceClassification gives other logits"):
        model.admit(slots[0].adapters, rows, logits.flip(0))
    assert model.compares(slots[0].longest)


def test_an_adapter_outside_the_headless_model_is_refused(model: PackedModel, slots: list[Slot]) -> None:
    stray: Any = slots[0].adapters
    stray.adapters = {"classifier": next(iter(stray.adapters.values()))}
    with pytest.raises(NotPackable, match="an adapter on classifier"):
        model.admit(stray, [], None)
