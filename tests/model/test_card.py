"""The card of a saved model as `huggingface_hub` reads it, without a model or the network."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import EvalResult, ModelCard

from sweep.config.adapter import find
from sweep.config.schema import Config, DatasetConfig, ModelConfig, StudyConfig
from sweep.data.labels import LabelSpace
from sweep.model.base import Quantization
from sweep.model.card import base_license, card
from sweep.model.manifest import Manifest
from sweep.records.cost import Cost
from sweep.records.final import Refit
from sweep.records.trial import Metrics

HUB = ModelConfig(path="org/base", revision="abc", dtype="float32")
METRICS = {"eval/accuracy": 0.5, "test/accuracy": 0.75, "test/f1_macro": 0.7, "test/loss": 1.25, "test/brier": 0.2}


def made(
    model: ModelConfig,
    folder: Path,
    metrics: Metrics,
    *,
    method: str = "lora",
    refit: Refit | None = None,
    temperature: float | None = None,
) -> Any:
    """A card as it is read back from its file."""
    config = Config(
        model=model,
        adapter=find(method).model_validate({"method": method}),
        dataset=DatasetConfig(path="org/data", revision="d1"),
        study=StudyConfig(study_name="toy"),
    )
    labels = LabelSpace("single_label", ("a", "b"))
    manifest = Manifest(config.adapter.method, model, None, labels, ("score",), 20, 0, temperature=temperature)
    file = folder / "README.md"
    file.write_text(str(card(config, manifest, metrics, refit)))
    return ModelCard.load(file)


def local(folder: Path, front_matter: str) -> ModelConfig:
    folder.mkdir()
    (folder / "README.md").write_text(f"{front_matter}\n# A base\n")
    return ModelConfig(path=str(folder), dtype="float32")


def test_metadata_is_read_back(tmp_path: Path) -> None:
    data = made(HUB, tmp_path, METRICS).data
    assert (data.base_model, data.library_name, data.tags) == ("org/base", "peft", ["sweep"])
    assert data.metrics == ["accuracy", "f1", "brier"]
    assert (data.license, data.pipeline_tag, data.model_name) == (None, None, "toy")
    found: dict[str, EvalResult] = {result.metric_name: result for result in data.eval_results}
    assert {name: result.metric_value for name, result in found.items()} == METRICS
    assert (found["test/f1_macro"].metric_type, found["test/f1_macro"].dataset_split) == ("f1", "test")
    assert found["eval/accuracy"].dataset_split == "validation"
    assert (found["eval/accuracy"].dataset_name, found["eval/accuracy"].dataset_revision) == ("org/data", "d1")


def test_validation_scores_of_the_model_before_a_refit_are_no_results_of_this_one(tmp_path: Path) -> None:
    found = made(HUB, tmp_path, METRICS, refit=Refit(rows=60, steps=15, total_steps=22, cost=Cost()))
    assert {result.dataset_split for result in found.data.eval_results} == {"test"}
    assert "| eval/accuracy | 0.5000 |" in found.text


def test_a_model_without_scores_names_none_and_one_with_nan_can_be_read(tmp_path: Path) -> None:
    assert made(HUB, tmp_path, {}).data.eval_results is None
    (result,) = made(HUB, tmp_path, {"test/brier": math.nan}).data.eval_results
    assert math.isnan(result.metric_value)


def test_a_pipeline_is_named_where_transformers_loads_every_weight(tmp_path: Path) -> None:
    assert made(HUB, tmp_path, {}, method="full").data.pipeline_tag == "text-classification"
    calibrated = made(HUB, tmp_path, {}, method="full", temperature=1.5)
    assert calibrated.data.pipeline_tag is None  # its scores would not be the calibrated ones
    pooled = HUB.model_copy(update={"pooling": "mean"})
    assert made(pooled, tmp_path, {}, method="full").data.to_dict().keys() == {"base_model", "library_name", "tags"}
    assert made(pooled, tmp_path, {}, method="full").data.library_name == "sweep"


@pytest.mark.parametrize(("temperature", "said"), [(1.5, False), (99.9999, True)])
def test_a_temperature_that_stopped_at_a_limit_is_said(tmp_path: Path, temperature: float, said: bool) -> None:
    text = made(HUB, tmp_path, {}, temperature=temperature).text
    assert ("100 is the highest one that is tried; a higher one would fit better." in text) == said


@pytest.mark.parametrize(
    ("front_matter", "license"),
    [
        ("---\nlicense: mit\n---", "mit"),
        ("---\nlicense: [mit]\n---", None),
        ("---\ntags: [x]\n---", None),
        ("---\n: [\n---", None),
        ("---\n- a\n---", None),
        ("", None),
    ],
)
def test_the_license_is_that_of_the_bases_own_card(
    front_matter: str, license: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    base = local(tmp_path / "base", front_matter)
    with caplog.at_level(logging.WARNING):
        assert base_license(base) == license
        assert made(base, tmp_path, {}).data.license == license
    assert not caplog.records


def test_no_license_is_known_of_a_base_that_is_not_at_hand_or_was_drawn() -> None:
    assert base_license(HUB) is None
    assert base_license(ModelConfig(path="", config="config.json", init="random")) is None


def test_code_for_a_quantised_base_compiles(tmp_path: Path) -> None:
    labels = LabelSpace("multi_label", ("a", "b"))
    manifest = Manifest("lora", HUB, Quantization(True, "bfloat16"), labels, ("score",), 20, 0, (0.25, 0.5))
    text = str(card(Config(model=HUB), manifest, {}))
    blocks = [part.split("```")[0] for part in text.split("```python\n")[1:]]
    assert len(blocks) == 2
    for place, source in enumerate(blocks):
        compile(source, f"block {place}", "exec")
    assert "bnb_4bit_use_double_quant=True" in blocks[1] and "sweep.load" in blocks[0]
