"""The results of two runs, side by side, without what the clock and the machine say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from sweep.config.schema import Config
from sweep.final.progress import FOLDER
from sweep.records.cost import Cost
from sweep.records.final import FinalRecord

from .program import final


def plain(record: FinalRecord) -> FinalRecord:
    """Return the record without what the clock, the machine and the number of readings say."""
    refit = record.refit and replace(record.refit, cost=_worked(record.refit.cost))
    confirmation = record.confirmation and replace(record.confirmation, cost=_worked(record.confirmation.cost))
    return replace(
        record, cost=_worked(record.cost), refit=refit, test_seconds=0, config=Config(), confirmation=confirmation,
        command="", test_readings=1,
    )  # fmt: skip


def _worked(cost: Cost) -> Cost:
    return Cost(
        steps=cost.steps, samples=cost.samples, flops=cost.flops, train_loss=cost.train_loss, engine=cost.engine
    )


def assert_same(one: Path, other: Path) -> None:
    """Check that two runs have the same records, rows, predictions and weights, and no leftover."""
    assert plain(final(one)) == plain(final(other))
    for name in ("events.jsonl", "predictions.csv", "confusion.csv", "refit/events.jsonl", "out_of_fold.csv"):
        ours, theirs = (folder / "run" / "final" / name for folder in (one, other))
        assert ours.exists() == theirs.exists()
        assert not ours.exists() or ours.read_bytes() == theirs.read_bytes(), name
    weights, others = _weights(one), _weights(other)
    assert weights.keys() == others.keys()
    assert all(torch.equal(weight, others[name]) for name, weight in weights.items())
    assert repeats(one) == repeats(other)
    assert not (one / "run" / FOLDER).exists()
    assert not list((one / "run").glob("snapshots/*")) and not list((one / "run").rglob("*.tmp"))


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    (file,) = (folder / "run" / "final" / "model").glob("*.safetensors")
    return load_file(file)


def repeats(folder: Path) -> list[Any]:
    found = [json.loads(path.read_text()) for path in sorted((folder / "run").glob("confirm/*.json"))]
    return [(one["number"], one["seed"], one["best"]) for one in found]
