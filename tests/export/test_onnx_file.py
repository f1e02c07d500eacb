"""An ONNX file, as onnxruntime runs it."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from transformers import AutoConfig, AutoTokenizer

from support.random_winners import ROWS, winner
from support.tiny import ADAPTERS
from sweep.errors import UserError
from sweep.export import onnx_file
from sweep.export.onnx_file import Inputs
from sweep.export.request import Request
from sweep.export.run import run
from sweep.model import artifact

pytestmark = pytest.mark.timeout(600)  # tracing takes 10 s, and several times that on a busy machine
TEXTS = [text for text, _ in ROWS]
WORDS = {"balance": " money", "card": " my card", "fees": " new fee"}


def exported(one: Any, folder: Path, **changes: Any) -> dict[str, Any]:
    """Return what export.json says."""
    run(one, Request("onnx", str(folder), **changes))
    found: dict[str, Any] = json.loads((folder / "export.json").read_text())
    return found


def words(scoring: str, **label_words: str) -> dict[str, Any]:
    return {"template": "{text} is about", "label_words": label_words, "scoring": scoring}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "adapter", "sections"),
    [
        ("bert", "lora", {}),
        ("bert", "lora", {"model": {"pooling": "mean"}}),
        ("roberta", "ia3", {}),
        ("roberta", "lora", {"model": {"pooling": "cls"}}),
        ("distilbert", "full", {}),
        ("distilbert", "lora", {"model": {"pooling": "last"}}),
        ("gpt2", "qlora", {}),
        ("gpt2", "head", {"model": {"pooling": "mean"}}),
        ("llama", "lora", {}),
        ("llama", "lora", {"model": {"pooling": "last"}}),
        ("gpt2", "lora", {"prompt": words("sum", balance=" money", card=" card", fees=" fee")}),
        ("gpt2", "lora", {"prompt": words("mean", **WORDS)}),
        ("llama", "qlora", {"prompt": words("sum", **WORDS)}),
    ],
)
def test_each_architecture_and_head_is_exported(
    model: str, adapter: str, sections: dict[str, Any], folders: dict[str, Path], tmp_path: Path
) -> None:
    found = exported(winner(tmp_path, folders[model], ADAPTERS[adapter], **sections), tmp_path / "out")
    assert found["same"]["difference"] < 2e-5 and found["opset"] == 18
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert {"model.onnx", "tokenizer.json", "config.json", "README.md"} <= names
    assert not [name for name in names if name.endswith(".safetensors")]


@pytest.mark.slow
def test_the_code_of_the_card_runs(folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = winner(
        tmp_path, folders["bert"], ADAPTERS["lora"], task="multi_label", pairs=True, thresholds=(0.4, 0.5, 0.6),
        model={"pooling": "mean"},
    )  # fmt: skip
    exported(one, tmp_path / "out")
    monkeypatch.chdir(tmp_path / "out")
    found: dict[str, Any] = {}
    exec(Path("README.md").read_text().split("```python\n")[1].split("```")[0], found)
    model, tokenizer = artifact.load(one.model)
    expected = model(**tokenizer(["your text"], ["its pair"], return_tensors="pt")).logits.detach().numpy()
    assert np.abs(found["logits"] - expected).max() < 1e-5
    assert (found["labels"] == (1 / (1 + np.exp(-expected)) >= [[0.4, 0.5, 0.6]])).all()
    facts = found["session"].get_modelmeta().custom_metadata_map
    assert json.loads(facts["labels"]) == ["balance", "card", "fees"] and json.loads(facts["thresholds"]) == [
        0.4,
        0.5,
        0.6,
    ]


@pytest.mark.slow
@pytest.mark.parametrize("prompt", [None, words("mean", **WORDS)], ids=["head", "label words"])
def test_the_logits_of_a_calibrated_winner_are_divided(prompt: Any, folders: dict[str, Path], tmp_path: Path) -> None:
    sections = {} if prompt is None else {"prompt": prompt}
    one = winner(tmp_path, folders["gpt2"], ADAPTERS["lora"], temperature=2.5, **sections)
    assert exported(one, tmp_path / "out")["same"]["difference"] < 2e-5
    assert "divided by the temperature already" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.slow
def test_an_adapter_that_cannot_be_merged_is_exported_as_it_is(folders: dict[str, Path], tmp_path: Path) -> None:
    lily = {"method": "peft", "peft_type": "LILY", "options": {"r": 2}}
    found = exported(winner(tmp_path, folders["bert"], lily), tmp_path / "out")
    assert found["same"]["difference"] <= found["same"]["tolerance"]


@pytest.mark.slow
def test_rows_and_tokens_may_be_any_number(folders: dict[str, Path], tmp_path: Path) -> None:
    one = winner(tmp_path, folders["bert"], ADAPTERS["lora"], model={"pooling": "mean"})
    exported(one, tmp_path / "out")
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "model.onnx"))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    model, _ = artifact.load(one.model)
    for texts in (TEXTS[:1], TEXTS, ["a " * 200, "fee"]):
        rows = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        given = {name: tensor.numpy() for name, tensor in rows.items()}
        assert np.abs(session.run(["logits"], given)[0] - model(**rows).logits.detach().numpy()).max() < 1e-5


class Refuses(torch.nn.Module):
    """A model that cannot be traced."""

    class config:
        model_type = "toy"


def test_what_cannot_be_traced_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def export(*_: Any, **__: Any) -> None:
        raise RuntimeError("a page of advice") from ValueError("an op is unknown")

    monkeypatch.setattr(torch.onnx, "export", export)
    monkeypatch.setattr(onnx_file, "unwrapped", lambda model: model)
    with pytest.raises(UserError, match="--to: is onnx, but PyTorch cannot write a toy as ONNX: an op is unknown"):
        onnx_file.write(Refuses(), Inputs(("input_ids",), None), tmp_path, {})


class Full:
    """A traced program that finds no room on the disk."""

    def __init__(self) -> None:
        self.model = SimpleNamespace(metadata_props={})

    def save(self, path: Path, **_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def test_a_full_disk_is_no_fault_of_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: Full())
    monkeypatch.setattr(onnx_file, "traceable", lambda model, names: model)
    with pytest.raises(OSError, match="No space left on device"):
        onnx_file.write(Refuses(), Inputs(("input_ids",), None), tmp_path, {})


def test_a_folder_asks_for_no_python_code(folders: dict[str, Path], tmp_path: Path) -> None:
    config = AutoConfig.from_pretrained(folders["bert"])
    vars(config)["auto_map"] = {"AutoConfig": "own.OwnConfig"}
    onnx_file.write_config(config, tmp_path)
    assert "auto_map" not in json.loads((tmp_path / "config.json").read_text())


def test_a_tokenizer_with_python_code_of_its_own_is_refused(folders: dict[str, Path]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folders["bert"])
    onnx_file.refuse_code(tokenizer)
    tokenizer.__class__ = type("Own", (type(tokenizer),), {"__module__": "transformers_modules.own"})
    with pytest.raises(UserError, match="the tokenizer runs Python code of its own .*; use --to hub without --merged"):
        onnx_file.refuse_code(tokenizer)
