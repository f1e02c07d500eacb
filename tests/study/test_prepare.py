"""The plan in words."""

from __future__ import annotations

from pathlib import Path

import toys
from sweep.records import ParameterGroup, Parameters
from sweep.study.prepare import describe


def test_the_account_is_a_table(tmp_path: Path) -> None:
    groups = {"attention": ParameterGroup(3_000_000, 0, 2**20), "adapter": ParameterGroup(1_000_000, 1_000_000, 2**22)}
    lines = describe(toys.plan(tmp_path), Parameters(4_000_000, 1_000_000, 5 * 2**20, groups)).splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("parameters:"))
    assert lines[start] == "parameters: 4,000,000 in total, 1,000,000 trained (25.00 %), 5 MiB of weights"
    assert [line.split() for line in lines[start + 1 : start + 4]] == [
        ["weights", "of", "parameters", "trained", "MiB"],
        ["attention", "3,000,000", "0", "1.0"],
        ["adapter", "1,000,000", "1,000,000", "4.0"],
    ]
