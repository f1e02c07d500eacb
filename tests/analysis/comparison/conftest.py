"""The finished runs that the tests of a comparison's report use too."""

from __future__ import annotations

from report.comparison.conftest import (
    NAMES,
    TRUTH,
    answers,
    comparison,
    group,
    make,
    multi,
    record,
    run,
    settings,
    three,
    write_rows,
)

__all__ = [
    "NAMES", "TRUTH", "answers", "comparison", "group", "make", "multi", "record", "run", "settings", "three", "write_rows",
]  # fmt: skip
