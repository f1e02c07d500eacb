"""The facts and the faults of a model that are known before a weight is read."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from support.tiny import ADAPTERS
from sweep.config.schema import Config
from sweep.config.settings import TrainSettings
from sweep.data.labels import LabelSpace
from sweep.errors import UserError
from sweep.model import preflight as preflight_module
from sweep.model.account import count
from sweep.model.base_model_cache import BaseModelCache
from sweep.model.preflight import preflight
from sweep.records.final import Parameters

Configure = Callable[..., Config]
MODELS = ["gpt2", "llama", "bert", "distilbert", "no_pooler"]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_account_is_that_of_the_loaded_model(
    model: str, adapter: str, configure: Configure, labels: LabelSpace
) -> None:
    config = configure(model, adapter)
    with BaseModelCache("cpu").model(TrainSettings.of(config), labels) as loaded:
        assert preflight(TrainSettings.of(config), labels) == count(loaded)


@pytest.mark.parametrize("double", [True, False])
@pytest.mark.parametrize("compute", ["bfloat16", "float32"])
def test_account_of_quantised_weights(double: bool, compute: str, configure: Configure, labels: LabelSpace) -> None:
    config = configure("gpt2", "qlora", adapter={"double_quantization": double, "compute_dtype": compute})
    plain = preflight(TrainSettings.of(configure("gpt2", "lora")), labels)
    with BaseModelCache("cpu").model(TrainSettings.of(config), labels) as loaded:
        counted = count(loaded)
    assert counted == preflight(TrainSettings.of(config), labels)
    assert numbers(counted) == numbers(plain)
    assert counted.bytes < plain.bytes / 2


def numbers(account: Parameters) -> dict[str, tuple[int, int]]:
    return {name: (group.total, group.trainable) for name, group in account.groups.items()}


def test_account_by_hand(configure: Configure, labels: LabelSpace) -> None:
    """Two layers of width 32: c_attn is 32 by 96, the head 3 by 32 without a bias."""
    found = preflight(TrainSettings.of(configure("gpt2", adapter={"r": 4})), labels)
    assert found.groups["adapter"].total == 2 * (4 * 32 + 4 * 96)
    assert found.groups["head"].total == 3 * 32
    assert found.trainable == found.groups["adapter"].total + found.groups["head"].total
    assert found.total == sum(group.total for group in found.groups.values())
    assert found.bytes == 4 * found.total


def test_account_of_a_half_base(configure: Configure, labels: LabelSpace) -> None:
    config = configure("llama", model={"dtype": "bfloat16"})
    found = preflight(TrainSettings.of(config), labels)
    assert found.bytes == 2 * (found.total - found.trainable) + 4 * found.trainable
    with BaseModelCache("cpu").model(TrainSettings.of(config), labels) as loaded:
        assert found == count(loaded)


def test_no_weight_is_read(configure: Configure, labels: LabelSpace, tmp_path: Path) -> None:
    """The data of the only weight file is cut off: what is left is its header."""
    config = configure("bert")
    folder = tmp_path / "cut"
    shutil.copytree(config.model.path, folder)
    file = folder / "model.safetensors"
    whole = file.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    file.write_bytes(whole[:header] + bytes(len(whole) - header))
    assert preflight(TrainSettings.of(configure("bert", model={"path": str(folder)})), labels) == preflight(
        TrainSettings.of(config), labels
    )


def refused(config: Config, labels: LabelSpace) -> str:
    with pytest.raises(UserError) as error:
        preflight(TrainSettings.of(config), labels)
    return str(error.value)


@pytest.fixture
def damaged(configure: Configure, tmp_path: Path) -> Callable[..., Config]:
    """A copy of a tiny model with files removed, or their JSON changed."""

    def made(model: str, *removed: str, **changes: dict[str, Any]) -> Config:
        folder = tmp_path / "damaged"
        shutil.copytree(configure(model).model.path, folder)
        for name in removed:
            (folder / name).unlink()
        for stem, values in changes.items():
            file = folder / f"{stem}.json"
            file.write_text(json.dumps({**json.loads(file.read_text()), **values}))
        return configure(model, model={"path": str(folder)})

    return made


def test_no_such_directory(configure: Configure, labels: LabelSpace) -> None:
    message = refused(configure("bert", model={"path": "./nowhere/at/all"}), labels)
    assert "model.path: is ./nowhere/at/all, but there is no such directory" in message
    assert "a local directory" in message and "pkg://" in message


def test_unreachable_hub_answers_at_once(configure: Configure, labels: LabelSpace) -> None:
    started = time.monotonic()
    message = refused(configure("bert", model={"path": "someone/some-model"}), labels)
    assert time.monotonic() - started < 5
    assert "someone/some-model, but there is no such directory, and the hub cannot be reached" in message
    assert "a local directory" in message


def test_no_config(damaged: Callable[..., Config], labels: LabelSpace) -> None:
    assert "it has no config.json" in refused(damaged("bert", "config.json"), labels)


def test_pickled_weights(damaged: Callable[..., Config], labels: LabelSpace) -> None:
    config = damaged("bert", "model.safetensors")
    torch.save({}, Path(config.model.path) / "pytorch_model.bin")
    assert "its weights are pickled (pytorch_model.bin), and only safetensors are loaded" in refused(config, labels)


def test_no_weights_and_no_tokenizer_at_once(damaged: Callable[..., Config], labels: LabelSpace) -> None:
    message = refused(damaged("bert", "model.safetensors", "tokenizer.json", "tokenizer_config.json"), labels)
    assert "it has no weights" in message
    assert "its tokenizer has no vocabulary" in message


def test_unknown_architecture(damaged: Callable[..., Config], labels: LabelSpace) -> None:
    assert "its config.json cannot be used" in refused(damaged("bert", config={"model_type": "unheard_of"}), labels)


def test_architecture_without_a_head(damaged: Callable[..., Config], labels: LabelSpace) -> None:
    message = refused(damaged("bert", config={"model_type": "clip"}), labels)
    assert "transformers has no sequence-classification head for its architecture (clip)" in message


def test_remote_code(damaged: Callable[..., Config], labels: LabelSpace) -> None:
    own = {"model_type": "unheard_of", "auto_map": {"AutoConfig": "own.OwnConfig"}}
    assert "model.trust_remote_code: is false, but" in refused(damaged("bert", config=own), labels)


def test_an_adapter_is_no_model(tmp_path: Path, configure: Configure, labels: LabelSpace) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    assert "it holds an adapter, not a model" in refused(configure("bert", model={"path": str(tmp_path)}), labels)


def test_missing_package_names_its_extra(configure: Configure, labels: LabelSpace) -> None:
    message = refused(configure("bert", model={"path": "pkg://no_such_package/model"}), labels)
    assert "the package no_such_package is not installed: pip install 'no-such-package'" in message


def test_weights_of_another_model(damaged: Callable[..., Config], labels: LabelSpace) -> None:
    message = refused(damaged("bert", config={"num_hidden_layers": 3}), labels)
    assert "its weights do not fit its config.json: bert.encoder.layer.2" in message


def test_target_modules_that_are_not_there(configure: Configure, labels: LabelSpace) -> None:
    config = configure("bert", adapter={"target_modules": ["querry", "value", "c_attn"]})
    message = refused(config, labels)
    assert "holds querry, but no linear layer of the model ends so (did you mean query?)" in message
    assert "holds c_attn" in message and "holds value" not in message
    assert "they end with dense, key, query, value" in message


def test_feedforward_modules_are_targets(configure: Configure, labels: LabelSpace) -> None:
    adapter = {"target_modules": ["key", "value"], "feedforward_modules": ["output.dense"]}
    message = refused(configure("bert", "ia3", adapter=adapter), labels)
    assert "adapter.feedforward_modules: holds output.dense, but must be part of adapter.target_modules" in message


def test_bitsandbytes_missing(configure: Configure, labels: LabelSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight_module, "find_spec", lambda _: None)
    message = refused(configure("bert", "qlora"), labels)
    assert "adapter.quantization: is nf4, but bitsandbytes is not installed" in message


def test_attention_that_is_not_there(configure: Configure, labels: LabelSpace) -> None:
    message = refused(configure("bert", model={"attn_implementation": "flash_attention_9"}), labels)
    assert "model.attn_implementation: is flash_attention_9, which this model cannot use here" in message


def test_a_length_that_leaves_no_text(configure: Configure, labels: LabelSpace) -> None:
    message = refused(configure("bert", dataset={"max_length": 2}), labels)
    assert "dataset.max_length: is 2, but must be at least 3" in message


def test_every_fault_at_once(configure: Configure, labels: LabelSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight_module, "find_spec", lambda _: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    config = configure("bert", "qlora", model={"path": "./nowhere"}, trainer={"device": "cuda"})
    paths = {line.split(":")[0] for line in refused(config, labels).splitlines()}
    assert paths == {"adapter.quantization", "trainer.device", "model.path"}
