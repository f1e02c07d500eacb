from __future__ import annotations

from sweep.config.adapter import AdapterConfig
from sweep.config.budget import BudgetConfig
from sweep.config.keys import field_of, is_key, keys, section


def test_keys_are_known_by_their_dotted_path() -> None:
    assert is_key("optimizer.learning_rate")
    assert is_key("run_dir")
    assert not is_key("optimizer.lr")
    assert not is_key("optimiser.learning_rate")
    assert section("adapter") is AdapterConfig
    assert section("adapter.r") is None
    assert "trainer.per_device_train_batch_size" in keys()


def test_a_section_within_a_section_has_keys_of_its_own() -> None:
    assert section("study.budget") is BudgetConfig
    assert is_key("study.budget.seconds")
    assert "study.budget.seconds" in keys() and "study.budget" not in keys()


def test_the_section_of_adapters_has_the_keys_of_every_method() -> None:
    assert {"adapter.r", "adapter.peft_type"} <= {*keys()}
    assert field_of("adapter.lora_alpha") is not None and field_of("adapter.lora_beta") is None
