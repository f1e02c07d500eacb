"""The data sets in conf/dataset, on the real files where they are at hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from sweep.config.folders import conf_dir
from sweep.config.schema import DatasetConfig
from sweep.data.splits import Splits, load_splits

REAL = Path(__file__).resolve().parents[3] / "shared" / "data"
needs_real_data = pytest.mark.skipif(not REAL.is_dir(), reason="needs ../shared/data")


def shipped(name: str, **changed: Any) -> DatasetConfig:
    return DatasetConfig.model_validate_json(json.dumps({**stored(name), **changed}))


def stored(name: str) -> dict[str, Any]:
    """The file's own values, over those of the files that it names as its defaults."""
    text = (conf_dir() / "dataset" / f"{name}.yaml").read_text().replace("${conf_dir:}", str(conf_dir()))
    values = yaml.safe_load(text)
    below = [stored(other) for other in values.pop("defaults", []) if other != "_self_"]
    return {key: value for part in (*below, values) for key, value in part.items()}


def real(name: str, folder: str, **changed: Any) -> Splits:
    return load_splits(shipped(name, path=str(REAL / folder), **changed))


def test_every_config_holds_known_fields():
    names = sorted(file.stem for file in (conf_dir() / "dataset").glob("*.yaml"))
    assert {"banking77", "custom", "helpdesk", "imdb", "semeval2018_ec", "snli", "snli_sample"} <= set(names)
    assert all(shipped(name) for name in names)


def test_custom_shows_every_field_at_its_default():
    assert shipped("custom") == DatasetConfig()
    assert shipped("custom").model_fields_set == set(DatasetConfig.model_fields)


def test_helpdesk():
    splits = load_splits(shipped("helpdesk"))
    assert splits.warnings == ()
    assert len(splits.labels) >= 12 and splits.test is not None
    assert len(splits.train) + len(splits.validation) + len(splits.test) >= 600
    assert set(splits.validation.labels) == set(splits.test.open().labels) == set(range(len(splits.labels)))


@needs_real_data
def test_banking77():
    splits = real("banking77", "banking77")
    assert dict(splits.state.rows) == {"train": 8002, "validation": 2001, "test": 3080}
    assert sorted(json.loads((REAL / "banking77" / "categories.json").read_text())) == list(splits.labels.names)
    assert any("\n" in text for text in splits.train.texts)


@needs_real_data
def test_banking77_stratified():
    counts = dict.fromkeys(range(77), 0)
    splits = real("banking77", "banking77", stratify=True)
    for label in splits.validation.labels:
        counts[label] += 1  # type: ignore[index]
    assert len(splits.validation) == 2001 and min(counts.values()) == 7


@needs_real_data
def test_semeval_divides_what_was_both_chosen_on_and_reported():
    splits = real("semeval2018_ec", "semeval2018_ec")
    assert dict(splits.state.rows) == {"train": 6179, "validation": 772, "test": 773}
    assert splits.test is not None and len(splits.labels) == 11 and splits.labels.names[0] == "anger"
    parts = (splits.train, splits.validation, splits.test.open())
    labels: list[Any] = [row for part in parts for row in part.labels]
    assert sum(row[0] for row in labels) > 2544  # of train alone
    assert not set(splits.validation.texts) & set(splits.test.open().texts)


@needs_real_data
def test_semeval_has_no_test_labels(only_fault):
    config = shipped(
        "semeval2018_ec", path=str(REAL / "semeval2018_ec"), test_split="2018-E-c-En-test", test_ratio=None
    )
    fault = only_fault(**config.model_dump())
    assert fault.path == "dataset.label_columns" and "'NONE'" in fault.message


@needs_real_data
def test_snli():
    splits = real("snli_sample", "snli")
    assert dict(splits.state.rows) == {"train": 1001, "validation": 99, "test": 99}
    assert splits.labels.names == ("entailment", "neutral", "contradiction")
    assert splits.train.pairs is not None and splits.train.pairs[0] != splits.train.texts[0]


@needs_real_data
def test_a_small_sample_of_imdb():
    splits = real("imdb", "imdb", max_train_samples=128, max_eval_samples=32)
    assert dict(splits.state.rows) == {"train": 128, "validation": 32, "test": 25000}
    assert 40 < sum(splits.train.labels) < 90  # type: ignore[arg-type]
