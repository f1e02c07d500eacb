"""The best weights, kept and put back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from support.passes import assert_same, logits, tensors, train
from sweep.config.schema import Config
from sweep.data.labels import LabelSpace
from sweep.model.base_model_cache import BaseModelCache
from sweep.model.state import restore, trainable_state

from .conftest import ADAPTERS


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_put_back_after_more_training(adapter: str, configure: Callable[..., Config], labels: LabelSpace) -> None:
    base_models, config = BaseModelCache("cpu"), configure("gpt2", adapter)
    tokenizer = base_models.tokenizer(config.model)
    with base_models.model(config, labels) as model:
        train(model, tokenizer)
        kept, weights, scores = trainable_state(model), tensors(model), logits(model, tokenizer)
        train(model, tokenizer)
        assert not torch.equal(logits(model, tokenizer), scores)
        restore(model, kept)
        assert_same(tensors(model), weights)
        assert torch.equal(logits(model, tokenizer), scores)


def test_only_what_is_trained_is_kept(configure: Callable[..., Config], labels: LabelSpace) -> None:
    base_models = BaseModelCache("cpu")
    with base_models.model(configure("distilbert", "head"), labels) as model:
        assert {name.split(".")[0] for name in trainable_state(model)} == {"pre_classifier", "classifier"}


def test_another_models_state_is_refused(configure: Callable[..., Config], labels: LabelSpace) -> None:
    base_models = BaseModelCache("cpu")
    with base_models.model(configure("bert", "head"), labels) as model:
        kept = trainable_state(model)
    with base_models.model(configure("bert", "lora"), labels) as model, pytest.raises(KeyError, match="classifier"):
        restore(model, kept)
