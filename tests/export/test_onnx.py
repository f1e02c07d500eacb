"""An ONNX file, as onnxruntime runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from transformers import AutoTokenizer

from support.winners import ROWS, winner
from sweep.export.request import Request
from sweep.export.run import run
from sweep.model import artifact

from .conftest import ADAPTERS


def exported(one: Any, folder: Path, **changes: Any) -> dict[str, Any]:
    """Return what export.json says."""
    run(one, Request("onnx", str(folder), **changes))
    found: dict[str, Any] = json.loads((folder / "export.json").read_text())
    return found


@pytest.mark.parametrize("model", ["bert", "roberta", "distilbert", "gpt2", "llama"])
def test_each_architecture_is_exported(model: str, folders: dict[str, Path], tmp_path: Path) -> None:
    found = exported(winner(tmp_path, folders[model], ADAPTERS["lora"]), tmp_path / "out")
    assert found["same"]["difference"] < 1e-5 and found["opset"] == 18
