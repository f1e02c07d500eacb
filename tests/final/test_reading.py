"""The lines on metrics of the user's own that could not be computed."""

from __future__ import annotations

from math import nan

from sweep.engine.evaluation import Measured
from sweep.final.reading import failure_notes


def failed(**reasons: str) -> Measured:
    return Measured({f"test/{name}": nan for name in reasons}, {f"test/{name}": why for name, why in reasons.items()})


def test_each_reason_is_said_once_with_all_that_is_missing() -> None:
    found = {
        "": failed(spread="one label", few="most labels"),
        " at threshold 0.5": failed(spread="one label"),
        " before training": failed(spread="no label"),
    }
    assert list(failure_notes(found)) == [
        "note: one label; so there is no test/spread, test/spread at threshold 0.5",
        "note: most labels; so there is no test/few",
        "note: no label; so there is no test/spread before training",
    ]
    assert list(failure_notes({"": Measured({"test/accuracy": 0.5})})) == []
