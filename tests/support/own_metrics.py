"""Metrics of a user's own in a module of the working directory, some of which fail on some rows."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MODULE = """
import os
from collections import Counter

import datasets
import evaluate

calls = Counter()
failing = [int(call) for call in os.environ["FAILING_CALLS"].split()]  # of counted

def rows(labels, probabilities):
    calls["rows"] += 1
    return len(labels)

def counted(labels, probabilities):
    calls["counted"] += 1
    if calls["counted"] in failing:
        raise ValueError(f"call {calls['counted']}")
    return 0.25

def several(labels, probabilities):
    calls["several"] += 1
    if len(set(labels)) < 2:
        raise ValueError("only one label")
    return 0.5

def right(labels, probabilities):
    found = int((probabilities.argmax(axis=1) == labels).sum())
    if found < 2:
        raise ValueError(f"{found} rows are right")
    return found

def huge(labels, probabilities):
    return 10**400

class Few(evaluate.Metric):
    def _info(self):
        marks = datasets.Sequence(datasets.Value("int64"))
        return evaluate.MetricInfo(description="", citation="", inputs_description="",
            features=datasets.Features({"predictions": marks, "references": marks}))

    def _compute(self, predictions, references):
        calls["Few"] += 1
        if max(map(sum, predictions)) > 1:
            raise ValueError("two labels are predicted")
        return {"few": sum(map(sum, predictions)) / len(predictions)}
"""


@contextmanager
def module(folder: Path, monkeypatch: pytest.MonkeyPatch, *, failing: Iterable[int] = ()) -> Iterator[None]:
    """Write the module `sometimes` to a folder, which becomes the working directory. These calls
    of its metric `counted` fail."""
    (folder / "sometimes.py").write_text(MODULE)
    monkeypatch.setenv("FAILING_CALLS", " ".join(map(str, failing)))
    monkeypatch.setattr("evaluate.config.HF_METRICS_CACHE", str(folder / "cache"))
    monkeypatch.setattr("sweep.engine.warning.logged", set())
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place not in ("", ".", str(folder))])
    monkeypatch.chdir(folder)
    sys.modules.pop("sometimes", None)
    yield
    sys.modules.pop("sometimes", None)
