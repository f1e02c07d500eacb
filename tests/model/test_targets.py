"""The default targets of adapters."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForSequenceClassification, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from sweep.errors import UserError
from sweep.model.adapters.ia3 import IA3Config
from sweep.model.adapters.lora import LoraConfig
from sweep.model.architecture import head_modules

LORA = {
    "gpt2": ["c_attn"],
    "bert": ["query", "value"],
    "distilbert": ["q_lin", "v_lin"],
    "roberta": ["query", "value"],
    "deberta-v2": ["query_proj", "value_proj"],
    "modernbert": ["Wqkv"],
    "albert": ["query", "value"],
    "phi3": ["qkv_proj"],
}
IA3 = {
    "gpt2": (["c_attn", "mlp.c_proj"], ["mlp.c_proj"]),
    "bert": (["key", "value", "output.dense"], ["output.dense"]),
    "distilbert": (["k_lin", "v_lin", "ffn.lin2"], ["ffn.lin2"]),
    "xlm-roberta": (["key", "value", "output.dense"], ["output.dense"]),
    "modernbert": (["Wqkv", "mlp.Wo"], ["mlp.Wo"]),
}


def outline(kind: str) -> PreTrainedModel:
    config = CONFIG_MAPPING[kind]()
    config.num_hidden_layers = 1
    with torch.device("meta"):
        model: PreTrainedModel = AutoModelForSequenceClassification.from_config(config)
    return model


@pytest.mark.parametrize("kind", LORA)
def test_lora_defaults(kind: str) -> None:
    model = outline(kind)
    targets = LoraConfig().targets(model, head_modules(model))
    assert targets.modules == LORA[kind]
    assert targets.matched


@pytest.mark.parametrize("kind", IA3)
def test_ia3_defaults(kind: str) -> None:
    model = outline(kind)
    targets, feedforward = IA3Config().targets(model, head_modules(model))
    assert (targets.modules, feedforward) == IA3[kind]


def test_named_feedforward_layers_are_known(kind: str = "bert") -> None:
    model = outline(kind)
    adapter = IA3Config(target_modules=("key", "output.dense"))
    assert adapter.targets(model, head_modules(model))[1] == ["output.dense"]


def test_layers_with_unknown_names() -> None:
    model = outline("fnet")
    with pytest.raises(UserError, match="adapter.target_modules: must be given: no default is known for fnet"):
        LoraConfig().targets(model, head_modules(model))


def test_the_head_is_no_target() -> None:
    model = outline("roberta")
    targets = LoraConfig(target_modules=("dense",)).targets(model, head_modules(model))
    assert targets.matched
    assert not [name for name in targets.matched if name.startswith("classifier")]
