"""The metrics of the test split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sweep.data.labels import LabelSpace
from sweep.engine.evaluation import Predictions
from sweep.final.reading import computable

MODULE = """
def rows(labels, probabilities):
    return len(labels)

def spread(labels, probabilities):
    if len(set(labels)) < 2:
        raise ValueError("only one label")
    return 0
"""


def test_a_metric_of_ones_own_that_fails_on_the_test_rows_is_left_out_with_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a study could not end: its metrics cannot change any more."""
    (tmp_path / "of_test_rows.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    found = Predictions(np.eye(2, dtype=np.float32), np.zeros(2, dtype=np.int64), loss=0.5, seconds=0.0)
    own = ("auroc_macro", "of_test_rows.spread", "of_test_rows.rows")
    kept, (note,) = computable(LabelSpace("single_label", ("a", "b")), found, own)
    assert kept == ["auroc_macro", "of_test_rows.rows"]
    assert note.startswith("note: dataset.metrics: is of_test_rows.spread") and "only one label" in note
    assert note.endswith("; the test split has no spread")
