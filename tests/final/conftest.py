"""A fixture of several tests of the last steps."""

from __future__ import annotations

import pytest

from sweep.data.splits import LockedRows, Rows


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of rows at each opening of the test split."""
    counts: list[int] = []
    read = LockedRows.open

    def open_(self: LockedRows) -> Rows:
        counts.append(len(self))
        return read(self)

    monkeypatch.setattr(LockedRows, "open", open_)
    return counts
