"""Finished runs made by hand, whose test scores are those of their predictions."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from sweep.analysis.comparison.comparison import Comparison, compare
from sweep.analysis.comparison.methods import Entry
from sweep.config import adapter as adapters
from sweep.config.schema import Config, DatasetConfig, ModelConfig, StudyConfig, TrackerConfig
from sweep.records.final import FinalRecord, Parameters
from sweep.records.store import Store

from ..conftest import completed, final, lock

NAMES = ("alpha", "beta", "gamma | delta")
TRUTH = [place % 3 for place in range(60)]


def answers(wrong: Sequence[int], truth: Sequence[int] = TRUTH) -> list[int]:
    """The truth, but for the rows `wrong`, which get the next label."""
    return [(label + 1) % 3 if row in wrong else label for row, label in enumerate(truth)]


def settings(name: str, *, task: str = "single_label", tracker: str = "none", **adapter: object) -> Config:
    metric = "eval/accuracy" if task == "single_label" else "eval/f1_macro"
    return Config(
        title=f"Toy {name}",
        run_dir=f"runs/{name}",
        model=ModelConfig(path="org/base"),
        adapter=adapters.parsed({**({"r": 8} if adapter.get("method", "lora") == "lora" else {}), **adapter}),
        dataset=DatasetConfig(path="data/toy", task=task),
        study=StudyConfig(study_name=name, n_trials=2, metric=metric),
        tracker=TrackerConfig(name=tracker, project="toys"),
    )


def record(config: Config, predicted: Sequence[int], *, trained: int = 1000, number: int = 1) -> FinalRecord:
    """A single-label winner; `trained` parameters, and as many milliseconds of training."""
    won = completed(number, [0.5, 0.7], [1.1, 0.9], {"optimizer.learning_rate": 1e-3})
    base = final(won)
    test = {"test/accuracy": accuracy_score(TRUTH, predicted), "test/loss": 0.5}
    test |= {f"test/f1_{kind}": f1_score(TRUTH, predicted, average=kind) for kind in ("macro", "micro", "weighted")}
    return replace(
        base, config=config, label_names=NAMES, test=test, test_rows=len(TRUTH), confusion=(),
        baseline={"test/accuracy": 1 / 3, "eval/accuracy": 0.3},
        parameters=Parameters(1_000_000, trained, 4_000_000, {}), cost=replace(base.cost, train_seconds=trained / 1000),
    )  # fmt: skip


def write_rows(folder: Path, labels: Sequence[str], predicted: Sequence[str], texts: Sequence[str] = ()) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "predictions.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["index", "text", "label", "predicted", "confidence"])
        for row, (label, found) in enumerate(zip(labels, predicted, strict=True)):
            text = texts[row] if texts else f"Text {row}: <b>where</b>?\nA | B"
            writer.writerow([row, text, label, found, f"{0.9 - row / 100:.4f}"])


def run(root: Path, predicted: Sequence[int], *, config: Config | None = None, trained: int = 1000) -> Store:
    config, store = config or settings(root.name), Store(root)
    ending = record(config, predicted, trained=trained)
    for number in (0, 1):
        store.write_trial(completed(number, [0.4, 0.6 + number / 10], [1.2, 1.0], {"optimizer.learning_rate": 1e-3}))
    store.write_lock(lock(config, NAMES))
    store.write_final(ending)
    write_rows(store.final_dir, [NAMES[label] for label in TRUTH], [NAMES[label] for label in predicted])
    return store


@pytest.fixture
def three(tmp_path: Path) -> tuple[Entry, ...]:
    """`good` misses 3 rows, `fair` 10, of which 2 are shared, `poor` 30 with the same 2; the
    poorer, the cheaper."""
    missed = {"good": [0, 1, 40], "fair": [0, 1, *range(20, 28)], "poor": list(range(30))}
    costs = {"good": 9000, "fair": 9500, "poor": 10}
    for name, rows in missed.items():
        method = {"method": "head", "r": None} if name == "poor" else {}
        run(tmp_path / name, answers(rows), config=settings(name, **method), trained=costs[name])
    return tuple(Entry(tmp_path / name) for name in missed)


@pytest.fixture
def comparison(three: tuple[Entry, ...]) -> Comparison:
    return compare(three, samples=2000)


@pytest.fixture
def group(tmp_path: Path) -> Store:
    """A study that compared adapters: lora won, ia3 stands beside it."""
    space = {"adapter": {"choices": ["lora", "ia3"]}}
    config = settings("group")
    config = config.model_copy(update={"study": config.study.model_copy(update={"compare_by": "adapter"})})
    store = Store(tmp_path / "group")
    store.write_lock(replace(lock(config, NAMES), space=space))
    for number, (method, rows) in enumerate({"lora": [3], "ia3": [3, 4, 5]}.items()):
        params = {"adapter": method}
        store.write_trial(replace(completed(number, [0.5], [1.0], {}), params=params))
        folder = store.final_dir if number == 0 else store.root / "methods" / method
        one = config.model_copy(update={"adapter": adapters.parsed({"method": method})})
        store.write_final(replace(record(one, answers(rows), number=number), params=params), folder=folder)
        write_rows(folder, [NAMES[label] for label in TRUTH], [NAMES[label] for label in answers(rows)])
    return store


@pytest.fixture
def multi(tmp_path: Path) -> tuple[Entry, ...]:
    """Two multi-label runs over two labels; a row may have none."""
    words = np.array(["", "a", "b", "a|b"])
    truth = np.tile([0, 1, 2, 3], 10)
    for name, step in (("first", 7), ("second", 3)):
        predicted = np.where(np.arange(40) % step == 0, (truth + 1) % 4, truth)
        config, store = settings(name, task="multi_label"), Store(tmp_path / name)
        marks = [np.stack([codes & 1, codes >> 1], axis=1) for codes in (truth, predicted)]
        test = {"test/subset_accuracy": accuracy_score(*marks)}
        test |= {f"test/f1_{kind}": f1_score(*marks, average=kind) for kind in ("macro", "micro")}
        ending = replace(record(config, TRUTH), label_names=("a", "b"), test=test, test_rows=40)
        store.write_lock(lock(config, ("a", "b")))
        store.write_trial(completed(1, [0.5], [1.0], {}))
        store.write_final(ending)
        write_rows(store.final_dir, list(words[truth]), list(words[predicted]))
    return (Entry(tmp_path / "first"), Entry(tmp_path / "second"))


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Store]:
    """`run` into a folder of that name."""
    return lambda name, *arguments, **options: run(tmp_path / name, *arguments, **options)
