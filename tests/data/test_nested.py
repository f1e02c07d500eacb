from __future__ import annotations

from typing import Any

import pyarrow as pa

from sweep.config.schema import DatasetConfig
from sweep.data.nested import dotted_names, held_by, pick
from sweep.data.splits import load_splits

ROWS = [{"meta": {"text": f"t {i}", "more": {"topic": "ab"[i % 2]}}, "id": i, "a.b": i} for i in range(10)]
TABLE = pa.Table.from_pylist([*ROWS, {"meta": None}])


def test_fields_have_dotted_names():
    assert dotted_names(TABLE.schema) == ("meta", "id", "a.b", "meta.text", "meta.more", "meta.more.topic")
    assert held_by({"meta.text", "a.b", "nothing.at"}, TABLE.schema) == ["meta", "a.b"]


def test_a_field_of_null_is_null():
    picked = pick(TABLE, {"meta.more.topic", "a.b", "nothing"})
    assert picked.column_names == ["a.b", "meta.more.topic"]
    assert picked["meta.more.topic"].to_pylist() == [*["a", "b"] * 5, None]


def test_nested_columns_of_files(folder, write, only_fault):
    write("train.parquet", ROWS)
    write("other.jsonl", ROWS)
    for split in ("train", "other"):
        config: dict[str, Any] = {"train_split": split, "test_split": None, "label_column": "meta.more.topic"}
        splits = load_splits(DatasetConfig(path=str(folder), text_column="meta.text", **config))
        assert splits.labels.names == ("a", "b") and "t 0" in {*splits.train.texts, *splits.validation.texts}
        assert "did you mean meta.text?" in only_fault(folder, text_column="meta.txt", **config).message
