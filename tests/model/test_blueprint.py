"""Models without weights: which file describes them, and the weights that are drawn for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModel, AutoModelForCausalLM

from sweep.config.schema import ModelConfig, ShrinkConfig
from sweep.errors import UserError
from sweep.model.account import count
from sweep.model.blueprint import causal, draw, read

SMALL = ShrinkConfig(layers=1, width=32, heads=2, vocabulary=300)
# As their authors, or the hub's reading of their files, give them; with the language-model head where there is one.
PUBLISHED = {
    "dialogpt_medium": 354_823_168,
    "distilbert": 65_190_912,
    "gemma_2b": 2_506_172_416,
    "gpt2": 124_439_808,
    "gte_qwen_7b": 7_721_324_544,
    "minilm": 22_713_216,
    "phi2": 2_779_683_840,
    "smollm2_135m": 134_515_008,
}
SHIPPED = {file.stem for file in (Path(__file__).parents[2] / "conf" / "model").glob("*.json")}


def random(config: str, **fields: Any) -> ModelConfig:
    return ModelConfig(init="random", config=config, **fields)


def test_each_shipped_architecture_is_counted_here() -> None:
    assert set(PUBLISHED) == SHIPPED


@pytest.mark.parametrize("name", PUBLISHED)
def test_size_of_shipped_architectures(name: str) -> None:
    config = read(random(name))
    with torch.device("meta"):
        model = (AutoModelForCausalLM if causal(config) else AutoModel).from_config(config)
    assert sum(weight.numel() for weight in model.parameters()) == PUBLISHED[name]


def test_weights_depend_on_the_architecture_alone() -> None:
    first = read(random("gpt2", shrink=SMALL))
    second = read(random("gpt2", shrink=SMALL))
    second.pad_token_id, second.id2label = 5, {0: "a", 1: "b", 2: "c"}
    torch.manual_seed(1)
    one = draw(first)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    other = draw(second)
    assert torch.equal(state, torch.get_rng_state())
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    assert "lm_head.weight" in one and one["transformer.wte.weight"].std() > 0.01
    assert "transformer.h.0.attn.c_attn.weight" in one


def test_a_file_a_folder_and_a_path(tmp_path: Path, folders: dict[str, Path]) -> None:
    file = folders["bert"] / "config.json"
    by_path = read(ModelConfig(init="random", path=str(folders["bert"])))
    assert read(random(str(file))).to_dict() == read(random(str(folders["bert"]))).to_dict() == by_path.to_dict()


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "has no model_type"),
        (json.dumps({"model_type": "unheard_of"}), "names no architecture that transformers knows"),
    ],
)
def test_a_file_that_describes_nothing(tmp_path: Path, text: str, rule: str) -> None:
    (tmp_path / "mine.json").write_text(text)
    with pytest.raises(UserError, match=f"model.config: is .*mine.json, but it {rule}"):
        read(random(str(tmp_path / "mine.json")))


def test_the_account_of_phi2_is_the_published_one() -> None:
    """The source trained the fused Wqkv, fc1 and fc2 of the model's first implementation: 16 *
    (2560 + 7680 + 2 * (2560 + 10240)) * 32. Of today's class, q_proj, v_proj, fc1 and fc2 make the
    same number."""
    from peft import LoraConfig, get_peft_model

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(read(random("phi2")))
    targets = ["q_proj", "v_proj", "fc1", "fc2"]
    lora = LoraConfig(task_type="CAUSAL_LM", r=16, target_modules=targets)
    found = count(get_peft_model(model, lora, low_cpu_mem_usage=True))
    assert (found.total, found.trainable) == (2_798_033_920, 18_350_080)
    assert round(100 * found.trainable / found.total, 2) == 0.66
    assert {name: group.total for name, group in found.groups.items()} == {
        "embeddings": 51200 * 2560,
        "attention": 32 * 4 * (2560 * 2560 + 2560),
        "feed-forward": 32 * (2 * 2560 * 10240 + 10240 + 2560),
        "normalisation": 33 * 2 * 2560,
        "adapter": 18_350_080,
        "language-model head": 51200 * 2560 + 51200,
    }
