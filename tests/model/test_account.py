"""The parameter account: each weight is counted once, in the right group."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import IA3Config, LoraConfig, TaskType, get_peft_model
from transformers import AutoModel, AutoModelForCausalLM, PreTrainedModel

from sweep.config.schema import ModelConfig
from sweep.model import blueprint
from sweep.model.account import GROUPS, count

# Of the published checkpoints, without a head: the sums of their weight files (a language-model head that is not tied
# to the embeddings counts).
PUBLISHED = {
    "gpt2": 124_439_808,
    "dialogpt_medium": 354_823_168,
    "distilbert": 65_190_912,
    "minilm": 22_713_216,
    "gemma_2b": 2_506_172_416,
    "gte_qwen_7b": 7_721_324_544,
    "phi2": 2_779_683_840,
    "smollm2_135m": 134_515_008,
}


def on_meta(name: str, auto: Any = None) -> PreTrainedModel:
    config = blueprint.read(ModelConfig(init="random", config=name))
    kind = auto or (AutoModelForCausalLM if blueprint.causal(config) else AutoModel)
    with torch.device("meta"):
        model: PreTrainedModel = kind.from_config(config)
    return model


@pytest.mark.parametrize("name", PUBLISHED)
def test_shipped_architectures_have_the_published_size(name: str) -> None:
    assert count(on_meta(name)).total == PUBLISHED[name]


def test_phi2_as_published() -> None:
    """The source's fused Wqkv, fc1 and fc2 are as many weights at rank 16 as q_proj, v_proj, fc1
    and fc2."""
    lora = LoraConfig(task_type=TaskType.CAUSAL_LM, r=16, target_modules=["q_proj", "v_proj", "fc1", "fc2"])
    found = count(get_peft_model(on_meta("phi2"), lora, low_cpu_mem_usage=True))
    assert (found.total, found.trainable) == (2_798_033_920, 18_350_080)
    assert f"{100 * found.trainable / found.total:.2f}" == "0.66"
    assert found.groups["language-model head"].total == 51200 * 2560 + 51200
    assert found.groups["embeddings"].total == 51200 * 2560
    assert found.groups["attention"].total == 32 * 4 * (2560 * 2560 + 2560)
    assert found.groups["feed-forward"].total == 32 * (2 * 2560 * 10240 + 10240 + 2560)
    assert found.groups["normalisation"].total == (32 + 1) * 2 * 2560
    assert found.groups["adapter"].trainable == found.trainable


def test_tied_weights_count_once() -> None:
    found = count(on_meta("gemma_2b"))
    assert "language-model head" not in found.groups
    assert found.groups["embeddings"].total == 256_000 * 2048


@pytest.mark.parametrize("name", ["gpt2", "smollm2_135m"])
def test_ia3_adds_vectors_only(name: str) -> None:
    targets = {"gpt2": ["c_attn", "mlp.c_proj"], "smollm2_135m": ["k_proj", "v_proj", "down_proj"]}[name]
    plain = count(on_meta(name))
    ia3 = IA3Config(task_type=TaskType.CAUSAL_LM, target_modules=targets, feedforward_modules=targets[-1:])
    found = count(get_peft_model(on_meta(name), ia3, low_cpu_mem_usage=True))
    vectors = {"gpt2": 12 * (3 * 768 + 3072), "smollm2_135m": 30 * (192 + 192 + 1536)}[name]
    assert found.trainable == found.groups["adapter"].total == vectors
    assert found.total == plain.total + vectors


@pytest.mark.parametrize("name", PUBLISHED)
def test_groups_are_known_in_order_and_add_up(name: str) -> None:
    found = count(on_meta(name))
    assert list(found.groups) == [group for group in GROUPS if group in found.groups]
    assert sum(group.total for group in found.groups.values()) == found.total
    assert sum(group.bytes for group in found.groups.values()) == found.bytes
    assert "other" not in found.groups
