"""The best weights, kept and put back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from support.passes import assert_same, logits, tensors, train
from support.tiny import ADAPTERS
from sweep.config.schema import Config
from sweep.config.settings import TrainSettings
from sweep.data.labels import LabelSpace
from sweep.model.base_model_cache import BaseModelCache
from sweep.model.state import UntrainedState, restore, trainable_state


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_put_back_after_more_training(adapter: str, configure: Callable[..., Config], labels: LabelSpace) -> None:
    base_models, config = BaseModelCache("cpu"), configure("gpt2", adapter)
    tokenizer = base_models.tokenizer(config.model)
    with base_models.model(TrainSettings.of(config), labels) as model:
        train(model, tokenizer)
        kept, weights, scores = trainable_state(model), tensors(model), logits(model, tokenizer)
        train(model, tokenizer)
        assert not torch.equal(logits(model, tokenizer), scores)
        restore(model, kept)
        assert_same(tensors(model), weights)
        assert torch.equal(logits(model, tokenizer), scores)


def test_only_what_is_trained_is_kept(configure: Callable[..., Config], labels: LabelSpace) -> None:
    base_models = BaseModelCache("cpu")
    with base_models.model(TrainSettings.of(configure("distilbert", "head")), labels) as model:
        assert {name.split(".")[0] for name in trainable_state(model)} == {"pre_classifier", "classifier"}


def test_another_models_state_is_refused(configure: Callable[..., Config], labels: LabelSpace) -> None:
    base_models = BaseModelCache("cpu")
    with base_models.model(TrainSettings.of(configure("bert", "head")), labels) as model:
        kept = trainable_state(model)
    with (
        base_models.model(TrainSettings.of(configure("bert", "lora")), labels) as model,
        pytest.raises(KeyError, match="classifier"),
    ):
        restore(model, kept)


class Growing(nn.Module):
    """A running mean, a buffer that is made anew, one that stays, and a frozen weight that is set."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(2)
        self.register_buffer("table", torch.zeros(1), persistent=False)
        self.register_buffer("fixed", torch.ones(1))
        self.frozen = nn.Parameter(torch.zeros(2), requires_grad=False)

    def grow(self) -> None:
        self.norm(torch.tensor([[1.0, 2.0], [3.0, 5.0]]))
        self.table = torch.arange(4.0)
        with torch.no_grad():
            self.frozen.add_(1.0)


def test_what_changes_beside_the_trained_weights_is_put_back() -> None:
    model, other = Growing(), Growing()
    untrained = UntrainedState.of(model)
    assert {name.partition(".")[0] for name in untrained.state_dict()} == {"norm"}
    assert UntrainedState.of(nn.LayerNorm(2)).state_dict() == {}
    model.grow()
    state = untrained.state_dict()
    assert sorted(state) == ["frozen", "norm.num_batches_tracked", "norm.running_mean", "norm.running_var", "table"]
    shared = other.table
    UntrainedState.of(other).load_state_dict(state)
    assert_same(dict(other.named_buffers()), dict(model.named_buffers()))
    assert torch.equal(other.frozen, model.frozen)
    assert shared.shape == (1,)  # a tensor that another model may share
