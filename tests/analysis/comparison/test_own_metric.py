"""Comparisons of runs with a metric of the user's own, which cannot be computed again from
predictions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from sweep.analysis.comparison.comparison import compare
from sweep.analysis.comparison.methods import Entry
from sweep.analysis.comparison.scores import overview
from sweep.config.schema import Config
from sweep.errors import UserError
from sweep.records.store import Store
from sweep.report.comparison.document import document

from .conftest import answers, settings


def searched_by(name: str, metrics: tuple[str, ...], **study: str) -> Config:
    config = settings(name)
    dataset = config.dataset.model_copy(update={"metrics": metrics})
    return config.model_copy(update={"dataset": dataset, "study": config.study.model_copy(update=study)})


def scored(store: Store, code: str, **test: float) -> Entry:
    """The run with more test scores, and its metric's code in the lock."""
    final, lock = store.final(), store.lock()
    assert final is not None and lock is not None
    store.write_final(replace(final, test={**final.test, **{f"test/{name}": value for name, value in test.items()}}))
    store.write_lock(replace(lock, versions={**lock.versions, "mine.brier": code}))
    return Entry(store.root)


def two(make: Callable[..., Store], *codes: str, metrics: tuple[str, ...] = ("mine.brier",)) -> list[Entry]:
    chosen = {"metric": "eval/brier", "direction": "minimize"}
    runs = {"one": ([0, 1], 0.4), "two": ([0, 1, 2], 0.2)}
    return [
        scored(make(name, answers(wrong), config=searched_by(name, metrics, **chosen)), code, brier=value, gain=value)
        for code, (name, (wrong, value)) in zip(codes, runs.items(), strict=True)
    ]


def test_it_is_shown_without_a_test_and_the_tasks_metrics_rank(make: Callable[..., Store]) -> None:
    found = compare(two(make, "sha256 a", "sha256 a"), samples=200)
    assert found.metrics == ("accuracy", "f1_macro", "f1_weighted") and found.ranked[0].name == "one"
    text = document(found, ())
    assert "| test/brier |" in text and "| **0.2000** |" in text


def test_the_best_value_is_marked_in_the_direction_of_the_study_and_not_where_that_is_unknown(
    make: Callable[..., Store],
) -> None:
    columns = overview(compare(two(make, "a", "a", metrics=("mine.brier", "mine.gain")), samples=200)).columns
    best = {column.title: column.best for column in columns}
    assert (best["test/brier"], best["test/gain"]) == (0.2, None)


def test_runs_whose_objective_has_other_code_cannot_be_compared(make: Callable[..., Store]) -> None:
    with pytest.raises(UserError, match="the code of their metric eval/brier differs"):
        compare(two(make, "sha256 a", "sha256 b"), samples=200)
