"""Each adapter method on tiny models: made on the meta device, trained a little, saved, loaded and
merged."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from support import tiny
from support.methods import METHODS, TYPES
from support.passes import assert_same, logits, tensors, train
from sweep.config import adapter as adapters
from sweep.config.schema import Config
from sweep.config.settings import TrainSettings
from sweep.data.labels import LabelSpace
from sweep.errors import UserError
from sweep.model.account import count
from sweep.model.artifact import load, save
from sweep.model.base_model_cache import BaseModelCache
from sweep.model.preflight import preflight

Configure = Callable[..., Config]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def base_models() -> BaseModelCache:
    return BaseModelCache("cpu")


def config_of(folder: Path, adapter: dict[str, Any]) -> Config:
    return Config.model_validate({"model": {"path": str(folder)}, "adapter": adapter})


@pytest.mark.parametrize("name", METHODS)
def test_a_method_from_preflight_to_merging(
    name: str, bert: Path, labels: LabelSpace, base_models: BaseModelCache, tmp_path: Path
) -> None:
    config = config_of(bert, METHODS[name])
    account, tokenizer = preflight(TrainSettings.of(config), labels), base_models.tokenizer(config.model)
    frozen = tensors(base_models.frozen(TrainSettings.of(config), labels))
    with base_models.model(TrainSettings.of(config), labels) as model:
        assert count(model) == account
        assert account.groups["adapter"].trainable > 0
        before = logits(model, tokenizer)
        train(model, tokenizer)
        trained = logits(model, tokenizer)
        assert not torch.equal(before, trained)
        save(model, tokenizer, tmp_path, config=config, labels=labels)
    assert_same(frozen, tensors(base_models.frozen(TrainSettings.of(config), labels)))
    loaded, _ = load(tmp_path)
    assert torch.equal(logits(loaded, tokenizer), trained)
    if not config.adapter.unmergeable():
        merged = loaded.merge_and_unload()  # type: ignore[operator]
        assert torch.allclose(logits(merged, tokenizer), trained, atol=1e-4)


def test_control_flow_reads_the_methods_without_torch() -> None:
    code = (
        "import sys; from sweep.config.schema import Config; from sweep.config.adapter import known; "
        "Config(), known(); print('torch' in sys.modules, 'peft' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


@pytest.mark.parametrize("method", ["lora", "dora"])
def test_a_base_in_four_bits_merges_as_peft_merges_it(
    method: str, bert: Path, labels: LabelSpace, base_models: BaseModelCache, tmp_path: Path
) -> None:
    """Merging quantises the sum again, so that scores are close and not the same."""
    config = config_of(bert, {"method": method, "quantization": "nf4", "compute_dtype": "float32"})
    tokenizer = base_models.tokenizer(config.model)
    with base_models.model(TrainSettings.of(config), labels) as model:
        train(model, tokenizer)
        trained = logits(model, tokenizer)
        save(model, tokenizer, tmp_path, config=config, labels=labels)
    loaded, _ = load(tmp_path)
    assert torch.equal(logits(loaded, tokenizer), trained)
    assert not config.adapter.unmergeable()
    merged = loaded.merge_and_unload()  # type: ignore[operator]
    apart = float((logits(merged, tokenizer) - trained).abs().max())
    assert 0 < apart < 0.1 * float(trained.abs().max())


def test_ia3_stays_beside_a_base_in_four_bits() -> None:
    assert "into a base in 4 bits" in adapters.parsed({"method": "ia3", "quantization": "nf4"}).unmergeable()
    assert adapters.parsed({"method": "ia3"}).unmergeable() == ""


@pytest.mark.parametrize(
    ("adapter", "key", "rule"),
    [
        ({"rank_pattern": {"nowhere": 4}}, "adapter.rank_pattern", "holds nowhere, but no adapted layer ends so"),
        ({"rank_pattern": {"(": 4}}, "adapter.rank_pattern", "holds (, which is no regular expression"),
        ({"alpha_pattern": {"key": 4.0}}, "adapter.alpha_pattern", "holds key, but no adapted layer"),
        (
            {"layers_to_transform": [0, 7]},
            "adapter.layers_to_transform",
            "holds 7, but the layers with target modules are 0",
        ),
        ({"exclude_modules": ["key"]}, "adapter.exclude_modules", "holds key, but no target module ends so"),
        ({"exclude_modules": ["query", "value"]}, "adapter.exclude_modules", "leaves no layer to adapt"),
        ({"init": "eva", "r": 512}, "adapter.r", "have no more directions; use at most"),
        ({"method": "peft", "peft_type": "VERRA"}, "adapter.peft_type", "did you mean VERA?"),
        (
            {"method": "peft", "peft_type": "VERA", "options": {"rank": 4}},
            "adapter.options.rank",
            "is no option of VERA",
        ),
        ({"method": "peft", "peft_type": "C3A"}, "adapter.method", "which PEFT cannot put on bert"),
        (
            {"method": "peft", "peft_type": "LOHA", "quantization": "nf4"},
            "adapter.quantization",
            "use none, or adapter=qlora",
        ),
        (
            {"method": "peft", "peft_type": "VERA", "options": {"vera_dropout": 1, "r": "x"}},
            "adapter.method",
            "cannot put",
        ),
    ],
    ids=str,
)
def test_values_that_do_not_suit_the_model_are_reported_before_any_weight(
    adapter: dict[str, Any], key: str, rule: str, bert: Path, labels: LabelSpace
) -> None:
    with pytest.raises(UserError) as caught:
        preflight(TrainSettings.of(config_of(bert, adapter)), labels)
    assert rule in {fault.path: fault.message for fault in caught.value.faults}[key]


def test_every_type_of_peft_is_tried_or_refused_with_a_reason() -> None:
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
    from peft.utils import PeftType

    from sweep.model.adapters.peft import REFUSED

    there = {kind.value for kind in PeftType if kind in PEFT_TYPE_TO_CONFIG_MAPPING}
    assert there == {*TYPES, *REFUSED}
