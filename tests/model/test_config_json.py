"""Model folders whose config.json or index says what cannot be, refused before a weight is
read."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from sweep.config.schema import Config
from sweep.config.settings import TrainSettings
from sweep.data.labels import LabelSpace
from sweep.errors import UserError
from sweep.model import config_json
from sweep.model.artifact import load
from sweep.model.base_model_cache import BaseModelCache
from sweep.model.preflight import preflight
from sweep.model.source import model_faults

Configure = Callable[..., Config]
INDEX = "model.safetensors.index.json"


@pytest.fixture
def copied(configure: Configure, tmp_path: Path) -> Callable[..., Config]:
    """A tiny model with another config.json."""

    def made(model: str, changes: dict[str, Any] | str) -> Config:
        folder = tmp_path / "copy"
        shutil.copytree(configure(model).model.path, folder)
        file = folder / "config.json"
        text = json.dumps({**json.loads(file.read_text()), **changes}) if isinstance(changes, dict) else changes
        file.write_text(text)
        return configure(model, model={"path": str(folder)})

    return made


def refused(config: Config, labels: LabelSpace) -> str:
    with pytest.raises(UserError) as error:
        preflight(TrainSettings.of(config), labels)
    return str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dtype": "nope"}, 'says dtype: "nope", but it must be float32, bfloat16, float16 or float64'),
        ({"dtype": [1]}, "says dtype: [1], but it must be"),
        ({"torch_dtype": "int8"}, 'says torch_dtype: "int8"'),
        ({"hidden_size": 2**40}, "says hidden_size: 1099511627776, but no machine trains such a model"),
        ({"num_hidden_layers": 10**6}, "says num_hidden_layers: 1000000, but no machine trains such a model"),
        ({"num_hidden_layers": -1}, "says num_hidden_layers: -1, but it must be at least 1"),
        ({"num_hidden_layers": 0}, "says num_hidden_layers: 0, but it must be at least 1"),
        ({"num_attention_heads": -1}, "says num_attention_heads: -1, but it must be at least 1"),
        ({"num_labels": 2**40}, "says num_labels: 1099511627776"),
        ({"max_position_embeddings": 2**40}, "says max_position_embeddings: 1099511627776"),
        ({"text_config": {"num_layers": 10**9}}, "says text_config.num_layers: 1000000000"),
        ({"quantization_config": 5}, "says quantization_config: 5, which names no quant_method"),
        ({"quantization_config": {"bits": 4}}, "which names no quant_method"),
        ("[" * 100_000, "its config.json cannot be read as JSON"),
        ('{"hidden_size": 1' + "0" * 5000 + "}", "its config.json cannot be read as JSON"),
        ("[]", "its config.json has no model_type"),
    ],
)
def test_faults_found_without_torch(
    changes: dict[str, Any] | str, message: str, copied: Callable[..., Config], labels: LabelSpace
) -> None:
    config = copied("bert", changes)
    assert message in "\n".join(map(str, model_faults(config.model)))
    assert message in refused(config, labels)


@pytest.mark.parametrize(
    ("model", "changes", "message"),
    [
        ("bert", {"hidden_size": "abc"}, "Validation error for field 'hidden_size': Field 'hidden_size' expected int, got str"),
        ("bert", {"hidden_size": [1]}, "Field 'hidden_size' expected int, got list"),
        ("gpt2", {"n_embd": None}, "n_embd"),
        ("bert", {"vocab_size": 1.5}, "Field 'vocab_size' expected int, got float"),
        ("bert", {"type_vocab_size": -1}, "cannot be built: RuntimeError: Trying to create tensor with negative dimension"),
        ("bert", {"text_config": {"a": 1}}, "a config of a part (such as text_config), which bert does not have"),
        ("bert", {"model_type": ["bert"]}, "its config.json cannot be used: TypeError"),
        ("gpt2", {"id2label": 3}, "its config.json cannot be used: AttributeError"),
        ("gpt2", {"auto_map": 3}, "cannot be used: TypeError"),
        ("llama", {"num_key_value_heads": 0}, "num_key_value_heads: 0, but it must be at least 1"),
        ("llama", {"head_dim": -2}, "head_dim: -2, but it must be at least 1"),
        ("gpt2", {"quantization_config": {"quant_method": "nope"}}, "quant_method: nope, which transformers does not know"),
    ],
)  # fmt: skip
def test_faults_that_transformers_finds(
    model: str, changes: dict[str, Any], message: str, copied: Callable[..., Config], labels: LabelSpace
) -> None:
    assert message in refused(copied(model, changes), labels)


@pytest.mark.parametrize("file", sorted((Path(__file__).parents[2] / "conf" / "model").glob("*.json")))
def test_published_architectures_are_within_the_bounds(file: Path) -> None:
    assert config_json.read(file)[1] == []


def test_a_random_model(configure: Configure, labels: LabelSpace, tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"model_type": "bert", "num_hidden_layers": 10**9, "hidden_size": 0}))
    found = refused(configure("bert", model={"init": "random", "config": str(file), "path": ""}), labels)
    assert "model.config: is" in found and "num_hidden_layers: 1000000000" in found and "hidden_size: 0" in found
    file.write_text(json.dumps({"model_type": "bert", "hidden_size": "abc"}))
    found = refused(configure("bert", model={"init": "random", "config": str(file), "path": ""}), labels)
    assert "but it cannot be used: Validation error for field 'hidden_size'" in found


@pytest.fixture
def sharded(configure: Configure, tmp_path: Path) -> Callable[[object], Config]:
    """A tiny model in two shards, with an index that is given: JSON, or bytes."""

    def made(index: object) -> Config:
        folder = tmp_path / "sharded"
        shutil.copytree(configure("bert").model.path, folder)
        weights = load_file(folder / "model.safetensors")
        names = sorted(weights)
        (folder / "model.safetensors").unlink()
        for number, some in enumerate((names[:10], names[10:]), 1):
            save_file({name: weights[name] for name in some}, folder / f"model-{number}.safetensors", {"format": "pt"})
        (folder / INDEX).write_bytes(index if isinstance(index, bytes) else json.dumps(index).encode())
        with (folder / "pytorch_model.bin").open("wb") as file:
            pickle.dump(Bomb(), file)
        shutil.copy(folder / "pytorch_model.bin", tmp_path / "elsewhere.safetensors")
        return configure("bert", model={"path": str(folder)})

    return made


class Bomb:
    def __reduce__(self) -> Any:
        return Path.touch, (Path("opened"),)


def of(*files: str) -> dict[str, Any]:
    return {"weight_map": {f"weight {number}": name for number, name in enumerate(files)}}


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (of(), "names no file of weights: it has no weight_map"),
        ({"weight_map": None}, "it has no weight_map"),
        ([], "it has no weight_map"),
        (b"{", "cannot be read as JSON"),
        (b"\xff\xfe{", "cannot be read as JSON"),
        (b"[" * 100_000, "cannot be read as JSON"),
        ({"weight_map": {"weight": 5}}, "names 5 as a file of weights"),
        (of("pytorch_model.bin"), "names pytorch_model.bin, and only safetensors are loaded"),
        (of("../elsewhere.safetensors"), 'names "../elsewhere.safetensors", which is not the name of a file in this folder'),
        (of("/etc/passwd"), 'names "/etc/passwd", which is not'),
        (of("sub/model.safetensors"), 'names "sub/model.safetensors", which is not'),
        (of("..\\model.safetensors"), "which is not the name of a file in this folder"),
        (of("model-1.safetensors", "model-3.safetensors"), "names model-3.safetensors, which the folder lacks"),
    ],
)  # fmt: skip
def test_indexes(
    index: object, message: str, sharded: Callable[[object], Config], labels: LabelSpace, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    config = sharded(index)
    assert message in "\n".join(map(str, model_faults(config.model)))
    assert message in refused(config, labels)
    with pytest.raises(UserError), BaseModelCache("cpu").model(TrainSettings.of(config), labels):
        pass
    assert not (tmp_path / "opened").exists()


def test_a_whole_index(sharded: Callable[[object], Config], labels: LabelSpace) -> None:
    config = sharded(of("model-1.safetensors", "model-2.safetensors"))
    assert model_faults(config.model) == []


def test_weights_that_are_no_safetensors(copied: Callable[..., Config], labels: LabelSpace) -> None:
    config = copied("bert", {"dtype": None})
    (Path(config.model.path) / "model.safetensors").write_bytes(pickle.dumps({}))
    assert "model.safetensors cannot be read as safetensors" in refused(config, labels)


def test_no_saved_model() -> None:
    with pytest.raises(UserError, match="holds no model saved by sweep"):
        load("/etc")
