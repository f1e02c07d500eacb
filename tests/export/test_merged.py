"""A merged folder, as a process without this project loads it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.winners import LABELS, ROWS, winner
from sweep.errors import UserError
from sweep.export.request import Request
from sweep.export.run import run
from sweep.model import artifact

from .conftest import ADAPTERS

ALONE = """
import json
import sys

for name in ("sweep", "peft"):
    sys.modules[name] = None  # importing it is an error
from transformers import pipeline

arguments, inputs = map(json.loads, sys.argv[2:])
classify = pipeline("text-classification", model=sys.argv[1], **arguments)
single = [classify(one, top_k=None, function_to_apply="none") for one in inputs]
batch = classify(inputs, top_k=None, function_to_apply="none", batch_size=len(inputs))
print(json.dumps([single, batch, classify(inputs[:1])]))
"""


def alone(folder: Path, inputs: Sequence[Any], **arguments: Any) -> tuple[np.ndarray, np.ndarray, Any]:
    """Return the logits that transformers' pipeline computes in a process of its own, (rows,
    labels): row by row, and in one batch; and what it says of the first row."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", ALONE, str(folder), json.dumps(arguments), json.dumps(inputs)],
        env={"HF_HUB_OFFLINE": "1", "PATH": "", "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    single, batch, first = json.loads(done.stdout.splitlines()[-1])
    return _logits(single), _logits(batch), first[0]


def _logits(rows: Any) -> np.ndarray:
    return np.array([[{one["label"]: one["score"] for one in row}[name] for name in LABELS] for row in rows])


def exported(one: Any, folder: Path, **changes: Any) -> dict[str, Any]:
    """Return what export.json says."""
    run(one, Request("merged", str(folder), **changes))
    found: dict[str, Any] = json.loads((folder / "export.json").read_text())
    return found


@pytest.mark.parametrize("model", ["bert", "roberta", "distilbert", "gpt2", "llama"])
def test_each_architecture_is_merged(model: str, folders: dict[str, Path], tmp_path: Path) -> None:
    found = exported(winner(tmp_path, folders[model], ADAPTERS["lora"]), tmp_path / "out")
    assert found["same"]["difference"] < 1e-5 and found["study"]["changed"] == []
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert not [name for name in names if name.startswith("adapter")]
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md", "export.json"} <= names


@pytest.mark.parametrize("adapter", ["qlora", "ia3", "head", "full"])
def test_each_kind_of_training_is_merged(adapter: str, folders: dict[str, Path], tmp_path: Path) -> None:
    found = exported(winner(tmp_path, folders["gpt2"], ADAPTERS[adapter]), tmp_path / "out")
    assert found["same"]["difference"] < 1e-5
    assert found["study"]["precision"] == ("bfloat16" if adapter == "qlora" else "float32")


def test_a_folder_is_loaded_by_this_project_too(folders: dict[str, Path], tmp_path: Path) -> None:
    one = winner(tmp_path, folders["bert"], ADAPTERS["lora"])
    exported(one, tmp_path / "out")
    expected, tokenizer = artifact.load(one.model)
    model, _ = artifact.load(tmp_path / "out")
    rows = tokenizer([text for text, _ in ROWS], padding=True, return_tensors="pt")
    assert np.abs((model(**rows).logits - expected(**rows).logits).detach().numpy()).max() < 1e-5
