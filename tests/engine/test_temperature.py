"""Temperatures, on scores whose right temperature is known."""

from __future__ import annotations

import numpy as np
import pytest

from sweep.config.schema import Task
from sweep.engine.evaluation import Predictions
from sweep.engine.metrics import Labels, Scores, probabilities
from sweep.engine.row_losses import row_losses
from sweep.engine.temperature import calibrated, calibration, fit, scaled
from sweep.records.calibration import LEAST, MOST


def drawn(task: Task, rows: int, *, sureness: float) -> tuple[Scores, Labels]:
    """Return scores, and labels drawn with the probabilities of the scores divided by `sureness`:
    the temperature that calibrates them."""
    draw = np.random.default_rng(4)
    scores = draw.normal(size=(rows, 4)).astype(np.float32) * 2
    chances = probabilities(task, scores)
    if task == "multi_label":
        return scores * np.float32(sureness), (draw.random(chances.shape) < chances).astype(np.int64)
    labels = (draw.random((rows, 1)) > chances.cumsum(axis=1)).sum(axis=1)
    return scores * np.float32(sureness), np.minimum(labels, 3)


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
@pytest.mark.parametrize("sureness", [0.5, 1.0, 3.0])
def test_the_temperature_is_that_of_the_scores(task: Task, sureness: float) -> None:
    scores, labels = drawn(task, 4000, sureness=sureness)
    assert fit(task, scores, labels) == pytest.approx(sureness, rel=0.06)


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_no_other_temperature_has_a_lower_loss(task: Task) -> None:
    scores, labels = drawn(task, 300, sureness=2.0)
    found = fit(task, scores, labels)
    losses = [row_losses(task, scores / (found * factor), labels).mean() for factor in (0.99, 1.0, 1.01)]
    assert losses[1] == min(losses)


def test_rows_that_are_all_right_give_no_temperature() -> None:
    assert fit("single_label", np.eye(3, dtype=np.float32), np.arange(3)) == 1.0
    assert fit("multi_label", np.eye(3, dtype=np.float32) - 0.5, np.eye(3, dtype=np.int64)) == 1.0
    nearly = np.array([[5, 0], [0, 5], [5, 0], [0.1, 0]], dtype=np.float32)
    assert fit("single_label", nearly, np.array([0, 1, 0, 1])) > LEAST


@pytest.mark.parametrize(("sign", "limit"), [(-1, MOST), (1e-4, LEAST), (1, None)])
def test_a_temperature_that_stops_at_a_limit_says_so(sign: float, limit: float | None) -> None:
    scores, labels = drawn("single_label", 300, sureness=1.0)
    found = calibration("single_label", scores * np.float32(sign), labels)
    assert found.stopped_at == limit
    assert limit is None or found.temperature == pytest.approx(limit, rel=1e-3)


def test_calibration_improves_what_was_too_sure_and_says_by_how_much() -> None:
    scores, labels = drawn("single_label", 1500, sureness=4.0)
    found = calibration("single_label", scores, labels)
    assert (found.rows, found.folds) == (1500, 5)
    assert found.temperature == pytest.approx(4, rel=0.1)
    assert found.after.ece < 0.05 < 0.2 < found.before.ece
    assert found.after.loss < found.before.loss
    assert found.before.loss == pytest.approx(row_losses("single_label", scores, labels).mean())
    fitted = row_losses("single_label", scores / found.temperature, labels).mean()
    assert fitted < found.after.loss == pytest.approx(fitted, abs=5e-3)  # each row by a fit without it


def test_few_rows_are_judged_by_their_own_fit() -> None:
    scores, labels = drawn("single_label", 8, sureness=4.0)
    found = calibration("single_label", scores, labels)
    assert found.folds == 1
    assert found.after.loss == pytest.approx(
        row_losses("single_label", scaled(scores, found.temperature), labels).mean()
    )


def test_a_fold_is_judged_by_the_fit_to_the_other_folds() -> None:
    scores, labels = drawn("single_label", 60, sureness=4.0)
    found = calibration("single_label", scores, labels, folds=(10, 20, 30))
    assert found.folds == 3 and found.temperature == fit("single_label", scores, labels)
    parts = np.split(np.arange(60), [10, 30])
    losses = []
    for part in parts:
        others = np.setdiff1d(np.arange(60), part)
        divided = scaled(scores[part], fit("single_label", scores[others], labels[others]))
        losses += list(row_losses("single_label", divided, labels[part]))
    assert found.after.loss == pytest.approx(np.mean(losses))


def test_predictions_are_divided_and_their_loss_follows_unless_it_is_of_words() -> None:
    scores, labels = drawn("single_label", 20, sureness=1.0)
    given = Predictions(scores, labels, loss=9.0, seconds=1.0)
    found = calibrated("single_label", given, 2.0, words=False)
    assert np.allclose(found.scores, scores / 2) and found.scores.dtype == np.float32
    assert found.loss == pytest.approx(row_losses("single_label", scores / 2, labels).mean(), rel=1e-6)
    assert calibrated("single_label", given, 2.0, words=True).loss == 9.0
    assert scaled(scores, None) is scores
