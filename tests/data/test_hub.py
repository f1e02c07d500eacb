"""Data sets of the hub, without a network: real `datasets` objects stand in for a download."""

from __future__ import annotations

from typing import Any

import datasets
import pytest
from huggingface_hub import HfApi

from sweep.config.schema import DatasetConfig
from sweep.data.hub import from_dataset
from sweep.data.splits import load_splits

INTENTS = datasets.ClassLabel(names=["freeze", "activate"])


def coded(codes: list[Any], kind: object = INTENTS) -> datasets.Dataset:
    features = datasets.Features({"text": datasets.Value("string"), "label": kind})
    return datasets.Dataset.from_dict(
        {"text": [f"row {i}" for i in range(len(codes))], "label": codes}, features=features
    )


@pytest.fixture
def hub(monkeypatch):
    """The hub holds one data set, at one commit."""
    held = datasets.DatasetDict(train=coded([0, 1, 0, 1, 0]), test=coded([1, 0]))
    asked = []

    class Info:
        sha = "c0ffee"

    def load_dataset(*args, **options):
        asked.append((args, options))
        return held

    monkeypatch.setattr(HfApi, "dataset_info", lambda *_, **__: Info)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return asked


def test_codes_become_their_names(hub):
    splits = load_splits(DatasetConfig(path="someone/something", revision="v1", name="default"))
    assert hub == [(("someone/something",), {"revision": "c0ffee", "name": "default"})]
    assert splits.labels.names == ("activate", "freeze")
    assert splits.test is not None and splits.test.open().labels == (0, 1)
    assert splits.state.revision == "c0ffee"


def test_in_the_conversion_of_the_hub_a_configuration_is_a_folder(hub):
    load_splits(DatasetConfig(path="someone/something", revision="refs/convert/parquet", name="english"))
    assert hub == [(("someone/something",), {"revision": "c0ffee", "data_dir": "english"})]


def test_a_split_that_the_data_set_lacks(hub, only_fault):
    fault = only_fault("someone/something", validation_split="dev")
    assert fault.path == "dataset.validation_split" and "test, train" in fault.message


def test_a_code_of_minus_one_is_no_label():
    raw = from_dataset(coded([0, -1, None]), {"text", "label"})
    assert raw.table["label"].to_pylist() == ["freeze", None, None]


def test_lists_of_codes_become_lists_of_names():
    raw = from_dataset(coded([[0, 1], [], None], datasets.List(INTENTS)), {"label"})
    assert raw.columns == ("text", "label")
    assert raw.table["label"].to_pylist() == [["freeze", "activate"], [], None]


@pytest.mark.parametrize(
    ("error", "key", "part"),
    [
        (ValueError("BuilderConfig 'x' not found. Available: ['a', 'b']"), "dataset.name", "['a', 'b']"),
        (
            RuntimeError("Dataset scripts are no longer supported, but found x.py"),
            "dataset.path",
            "refs/convert/parquet",
        ),
        (datasets.exceptions.DatasetGenerationError("bad file"), "dataset.path", "bad file"),
    ],
)
def test_an_error_of_the_library_is_a_fault(hub, monkeypatch, only_fault, error, key, part):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    fault = only_fault("someone/something")
    assert fault.path == key and part in fault.message


def test_offline_mode_is_put_back(only_fault):
    before = datasets.config.HF_HUB_OFFLINE
    only_fault("someone/something")
    assert before == datasets.config.HF_HUB_OFFLINE


def test_columns_that_the_data_set_lacks(hub, only_fault):
    fault = only_fault("someone/something", text_column="utterance", label_column="label")
    assert fault.path == "dataset.text_column" and "text, label" in fault.message
    assert from_dataset(coded([0]), {"nothing"}).table.num_columns == 0
