"""The shipped choices of model and adapter."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from sweep.config import adapter as adapters
from sweep.config.schema import ModelConfig

CONF = Path(__file__).parents[2] / "conf"
FILES = [(file, kind) for kind in ("model", "adapter") for file in sorted((CONF / kind).glob("*.yaml"))]


@pytest.mark.parametrize(("file", "kind"), FILES, ids=lambda value: value.stem if isinstance(value, Path) else value)
def test_holds_known_fields_and_values(file: Path, kind: str) -> None:
    tree = OmegaConf.to_container(OmegaConf.load(file))
    parsed = ModelConfig.model_validate(tree) if kind == "model" else adapters.parsed(tree)
    if file.stem == "custom":
        assert parsed == ModelConfig() and set(tree) == set(ModelConfig.model_fields)


def test_qlora_is_as_published() -> None:
    qlora = adapters.parsed(OmegaConf.to_container(OmegaConf.load(CONF / "adapter" / "qlora.yaml")))
    assert (qlora.quantization, qlora.double_quantization, qlora.compute_dtype) == ("nf4", True, "bfloat16")
