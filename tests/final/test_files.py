"""predictions.csv, as the report reads it back, and confusion.csv."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from sweep.analysis.predictions import read_predictions
from sweep.config.schema import Task
from sweep.data.labels import LabelSpace
from sweep.data.splits import Rows
from sweep.engine.evaluation import Predictions
from sweep.engine.loss import summed, summed_over_words
from sweep.engine.row_losses import row_losses
from sweep.final.files import write_confusion, write_predictions
from sweep.final.reading import Reading, shares


def reading(task: Task, texts: tuple[str, ...], truth: np.ndarray, decided: np.ndarray, scores: np.ndarray) -> Reading:
    predictions = Predictions(scores.astype(np.float32), truth, loss=0.0, seconds=0.0)
    labels = tuple(tuple(map(int, row)) if task == "multi_label" else int(row) for row in truth)
    losses = row_losses(task, predictions.scores, truth)
    return Reading(Rows(texts, None, labels), predictions, decided, losses, {}, {}, (), {})


def test_a_text_of_any_length_and_any_character_is_read_again(tmp_path: Path) -> None:
    texts = ("x" * 200_000, 'quoted "so", and\nbroken\r\nlines', "", "naïve ☕")
    truth, scores = np.array([0, 1, 0, 1]), np.eye(2)[[0, 1, 1, 0]]
    labels = LabelSpace("single_label", ("a|b", "b|a"))
    write_predictions(tmp_path / "p.csv", reading("single_label", texts, truth, scores.argmax(1), scores), labels)
    found = read_predictions(tmp_path / "p.csv", "single_label")
    assert tuple(row.text for row in found) == texts
    assert [row.right for row in found] == [True, True, False, False]
    assert found[0].label == ("a|b",)


def test_several_labels_are_joined_so_that_they_can_be_distinguished(tmp_path: Path) -> None:
    truth = np.array([[1, 1, 0], [0, 0, 1], [0, 0, 0]])
    decided = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0]])
    labels = LabelSpace("multi_label", ("a", "b|c", "a|b|c"))
    write_predictions(tmp_path / "p.csv", reading("multi_label", ("x", "y", "z"), truth, decided, truth - 0.5), labels)
    found = read_predictions(tmp_path / "p.csv", "multi_label")
    assert [row.label for row in found] == [("a", "b|c"), ("a|b|c",), ()]
    assert [row.right for row in found] == [True, False, True]


@pytest.mark.parametrize(
    ("task", "corner", "last"),
    [("single_label", "true \\ predicted", "d"), ("multi_label", "label", "true_positive")],
)
def test_the_counts_of_four_labels_are_a_matrix_where_one_applies(
    tmp_path: Path, task: Task, corner: str, last: str
) -> None:
    write_confusion(tmp_path / "c.csv", LabelSpace(task, ("a", "b", "c", "d")), ((1, 2, 3, 4),) * 4)
    header, first, *_ = list(csv.reader((tmp_path / "c.csv").read_text().splitlines()))
    assert (header[0], header[-1], first) == (corner, last, ["a", "1", "2", "3", "4"])


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_the_losses_of_rows_add_up_to_that_of_the_split(task: Task) -> None:
    draw = np.random.default_rng(3)
    scores = draw.normal(size=(50, 4))
    truth = draw.integers(0, 4, 50) if task == "single_label" else draw.integers(0, 2, (50, 4))
    losses = row_losses(task, scores, truth)
    whole = float(summed(task, torch.from_numpy(scores), torch.from_numpy(truth)) / truth.size)
    assert losses.mean() == pytest.approx(whole)


def test_the_loss_of_label_words_is_that_of_the_true_words() -> None:
    scores, truth = np.log(np.array([[0.2, 0.1], [0.05, 0.3]])), np.array([0, 1])
    losses = row_losses("single_label", scores, truth, words=True)
    whole = float(summed_over_words(torch.from_numpy(scores), torch.from_numpy(truth)) / 2)
    assert losses.mean() == pytest.approx(whole)


def test_shares_of_train_are_counted_by_label() -> None:
    rows = Rows(("x",) * 4, None, ((1, 0), (1, 1), (0, 0), (1, 0)))
    assert shares(rows, LabelSpace("multi_label", ("a", "b"))) == (0.75, 0.25)
