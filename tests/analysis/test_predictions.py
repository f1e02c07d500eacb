"""Files of predictions that another program has written again."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweep.analysis.predictions import read_predictions
from sweep.errors import UserError

FILE = "index,text,label,predicted,confidence,loss\r\n0,é,a,b,0.5,0.69\r\n"


def test_a_spreadsheet_may_add_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"\ufeff{FILE}", encoding="utf-8")
    (row,) = read_predictions(tmp_path / "a.csv", "single_label")
    assert (row.index, row.text, row.label, row.predicted, row.loss) == ("0", "é", ("a",), ("b",), 0.69)


@pytest.mark.parametrize(
    "data",
    [FILE.replace(",", ";").encode(), FILE.encode("cp1252"), FILE.replace("0.5", "50 %").encode(), FILE.encode()[:-16]],
)
def test_other_changes_are_a_fault(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.csv").write_bytes(data)
    with pytest.raises(UserError, match=r"a.csv: is damaged: .* \(a report does without it where it is deleted\)"):
        read_predictions(tmp_path / "a.csv", "multi_label")
