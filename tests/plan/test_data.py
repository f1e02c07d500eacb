"""The data set of a plan, and faults of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.plans import QUICK, faults_of, table


@pytest.mark.parametrize(
    ("text", "path", "part"),
    [
        ("text,label\n", "dataset.train_split", ""),
        ("text,label\na,1.5\nb,2.5\n", "dataset.label_column", ""),
        ("text,label\na,x\nb,\nc,y\n", "dataset.label_column", ""),
    ],
)
def test_data_that_cannot_be_learnt_from_is_refused(tmp_path: Path, text: str, path: str, part: str) -> None:
    table(tmp_path, "text,label\na,x\nb,y\n", "test.csv")
    assert part in faults_of(QUICK, table(tmp_path, text))[path]


def test_a_label_that_train_lacks_is_refused(tmp_path: Path) -> None:
    table(tmp_path, "text,label\na,x\nb,zebra\n", "test.csv")
    found = faults_of(QUICK, table(tmp_path, "text,label\n" + "a,x\nb,y\n" * 5))
    assert "zebra" in " ".join(found.values())
