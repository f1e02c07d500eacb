"""Run directories with a winner whose weights are random: saved as a study saves one, without a
search."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from report.conftest import final, lock, six_trials
from sweep.config.schema import Config
from sweep.config.settings import TrainSettings
from sweep.data.splits import load_splits
from sweep.model import artifact
from sweep.model.base_model_cache import BaseModelCache
from sweep.records.store import Store
from sweep.records.winner import Winner, find_winner

ROWS = (
    ("please top up my card", "card"),
    ("how do i change the pin of my new card", "card"),
    ("fee", "fees"),
    ("why is the exchange fee charge new", "fees"),
    ("what is my account balance", "balance"),
    ("money", "balance"),
    ("refund the payment please", "fees"),
    ("cash", "balance"),
    ("help my card was stolen when i change the account pin for a new payment in cash", "card"),
    ("where is the rate", "fees"),
    ("old account", "balance"),
    ("lost card", "card"),
)
LABELS = ("balance", "card", "fees")


def data_set(folder: Path, task: str, *, pairs: bool) -> dict[str, Any]:
    """Write the train and validation rows, and return the section `dataset` that reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in (("train", ROWS), ("validation", ROWS[::-1])):
        with (folder / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "label", "second"])
            for index, (text, label) in enumerate(rows):
                several = "|".join({label, LABELS[index % 3]}) if task == "multi_label" else label
                writer.writerow([text, several, rows[index - 1][0]])
    return {
        "path": str(folder), "validation_split": "validation", "test_split": None, "task": task,
        "text_pair_column": "second" if pairs else None, "label_separator": "|" if task == "multi_label" else None,
        "label_names": list(LABELS),
    }  # fmt: skip


def winner(
    root: Path,
    model: Path,
    adapter: dict[str, Any],
    /,
    *,
    task: str = "single_label",
    pairs: bool = False,
    thresholds: tuple[float, ...] | None = None,
    temperature: float | None = None,
    **sections: dict[str, Any],
) -> Winner:
    """Return the winner of a run directory in `root / "run"`. Its trained weights are random, and
    large enough that each of them moves the logits."""
    data = {**data_set(root / "data", task, pairs=pairs), **sections.pop("dataset", {})}
    tree = {
        "model": {"path": str(model), **sections.pop("model", {})}, "adapter": adapter, "dataset": data,
        "tracker": {"name": "none"}, **sections,
    }  # fmt: skip
    config = Config.model_validate_json(json.dumps(tree))
    splits, base_models, store = load_splits(config.dataset), BaseModelCache("cpu"), Store(root / "run")
    settings = TrainSettings.of(config)
    with base_models.model(settings, splits.labels) as made, torch.random.fork_rng([]):
        torch.manual_seed(5)
        for weight in (weight for weight in made.parameters() if weight.requires_grad):
            weight.data += 0.1 * torch.randn_like(weight)
        artifact.save(
            made, base_models.tokenizer(config.model), store.final_dir / "model", config=config, labels=splits.labels,
            thresholds=thresholds, temperature=temperature,
        )  # fmt: skip
    locked = lock(config, LABELS)
    store.write_lock(replace(locked, data=replace(locked.data, fingerprint=splits.state.fingerprint)))
    store.write_final(replace(final(six_trials()[1], LABELS), config=config, thresholds=thresholds))
    return find_winner(store.root)
