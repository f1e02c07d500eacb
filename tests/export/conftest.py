"""Fixtures of the export tests: tiny models as directories, and ways to train them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support import tiny

ADAPTERS: dict[str, dict[str, Any]] = {
    "lora": {"method": "lora"},
    "qlora": {"method": "lora", "quantization": "nf4"},
    "ia3": {"method": "ia3"},
    "head": {"method": "head"},
    "full": {"method": "full"},
}


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    made = {
        "gpt2": tiny.tiny_gpt2, "llama": tiny.tiny_llama, "bert": tiny.tiny_bert, "distilbert": tiny.tiny_distilbert,
        "roberta": tiny.tiny_roberta,
    }  # fmt: skip
    return {name: make(root / name) for name, make in made.items()}
