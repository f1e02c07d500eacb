"""Smaller models of shipped architectures: sizes that are asked for, sizes that follow, and
rules."""

from __future__ import annotations

from typing import Any

import pytest

from sweep.config.schema import ModelConfig, ShrinkConfig
from sweep.errors import UserError
from sweep.model.blueprint import read


def shrunk(name: str, **sizes: int) -> Any:
    return read(ModelConfig(init="random", config=name, shrink=ShrinkConfig(**sizes)))


def refused(name: str, **sizes: int) -> str:
    with pytest.raises(UserError) as caught:
        shrunk(name, **sizes)
    return str(caught.value)


def test_nothing_asked_for_is_the_whole_model() -> None:
    found = shrunk("gemma_2b")
    assert (found.num_hidden_layers, found.hidden_size, found.vocab_size) == (18, 2048, 256000)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gpt2", {"n_layer": 2, "n_embd": 64, "n_head": 4, "n_inner": None}),
        ("distilbert", {"n_layers": 2, "dim": 64, "n_heads": 4, "hidden_dim": 256}),
        ("minilm", {"num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 256}),
        ("gemma_2b", {"hidden_size": 64, "intermediate_size": 512, "head_dim": 16, "num_key_value_heads": 1}),
        ("gte_qwen_7b", {"hidden_size": 64, "num_key_value_heads": 4, "layer_types": ["full_attention"] * 2}),
        ("smollm2_135m", {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 16}),
    ],
)
def test_own_names_of_each_architecture(name: str, expected: dict[str, Any]) -> None:
    found = shrunk(name, layers=2, width=64, heads=4, vocabulary=300).to_dict()
    assert found["vocab_size"] == 300
    assert {key: found[key] for key in expected} == expected


def test_ids_beyond_the_vocabulary_are_dropped() -> None:
    whole, small = shrunk("gpt2"), shrunk("gpt2", vocabulary=300)
    assert (whole.eos_token_id, small.eos_token_id, small.bos_token_id) == (50256, None, None)


def test_every_fault_at_once() -> None:
    lines = refused("gpt2", layers=13, vocabulary=10**6, width=100, heads=7).splitlines()
    assert lines[0] == "model.shrink.layers: is 13, but must be at most 12, which the whole model has"
    assert {line.split(":")[0] for line in lines} == {f"model.shrink.{key}" for key in ShrinkConfig.model_fields}
    assert "a width of 100 over 7 heads gives 14.2857 to each head, which must be a whole number" in lines[-1]


def test_rotary_embeddings_turn_pairs() -> None:
    """Phi turns 0.4 of a head: 8 of 20 dimensions, but 3 of 8."""
    assert shrunk("phi2", width=80, heads=4).hidden_size == 80
    assert "of which rotary embeddings turn 3" in refused("phi2", width=32, heads=4)
