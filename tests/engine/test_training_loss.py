"""The losses that trials are trained with, beside those of PyTorch and scikit-learn."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from sweep.config.schema import Config, Task
from sweep.config.settings import TrainSettings
from sweep.data.labels import LabelSpace
from sweep.engine.loss import mean_loss, summed
from sweep.engine.training_loss import TrainingLoss, training_loss

SCORES = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
ONE = torch.tensor([0, 3, 1, 1, 2, 0])
SEVERAL = torch.tensor([[0, 1, 1, 0]] * 3 + [[1, 0, 0, 0]] * 3, dtype=torch.float32)


def configured(task: Task, **sections: Any) -> TrainSettings:
    return TrainSettings.of(Config.model_validate({"dataset": {"task": task}, **sections}))


def of(settings: TrainSettings, labels: torch.Tensor) -> TrainingLoss:
    """Return the loss of a trial that trains on rows with these labels."""
    space = LabelSpace(settings.task, ("a", "b", "c", "d"))
    return TrainingLoss.of(settings, {"labels": labels.tolist()}, space, torch.device("cpu"))


@pytest.mark.parametrize(
    ("settings", "labels"),
    [
        (configured("single_label"), ONE),
        (configured("multi_label"), SEVERAL),
        (configured("single_label", prompt={"template": "{text}"}), ONE),
    ],
    ids=["single_label", "multi_label", "label words"],
)
def test_batches_of_a_step_add_up_to_its_mean(settings: TrainSettings, labels: torch.Tensor) -> None:
    loss = training_loss(of(settings, labels))
    whole = loss(SimpleNamespace(logits=SCORES), labels, labels.numel())
    batches = ([0, 1, 2, 3], [4, 5])
    parts = [loss(SimpleNamespace(logits=SCORES[rows]), labels[rows], labels.numel()) for rows in batches]
    assert float(sum(parts)) == pytest.approx(float(whole), rel=1e-6)
    assert float(whole) == pytest.approx(mean_loss(settings)(SCORES, labels), rel=1e-6)


EVERY: dict[str, Any] = {
    "class_weights": "balanced", "focal_gamma": 1.5, "logit_adjustment_tau": 0.7, "label_smoothing_factor": 0.1,
}  # fmt: skip
SEEN = torch.tensor([0, 3, 1, 1, 2, 0, 0, 0, 1, 0])


@pytest.mark.parametrize("trainer", [EVERY, *({name: value} for name, value in EVERY.items())], ids=str)
@pytest.mark.parametrize(("task", "labels"), [("single_label", ONE), ("multi_label", SEVERAL)])
def test_any_batches_of_a_step_have_the_gradient_of_the_whole(
    task: Task, labels: torch.Tensor, trainer: dict[str, Any]
) -> None:
    loss, whole = training_loss(of(configured(task, trainer=trainer), labels)), SCORES.clone().requires_grad_()
    loss(SimpleNamespace(logits=whole), labels, labels.numel()).backward()
    parts = SCORES.clone().requires_grad_()
    for rows in ([0], [1, 2, 3, 4], [5]):
        loss(SimpleNamespace(logits=parts[rows]), labels[rows], labels.numel()).backward()
    torch.testing.assert_close(parts.grad, whole.grad)


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_the_reported_loss_is_the_plain_one(task: Task) -> None:
    labels = ONE if task == "single_label" else SEVERAL
    plain, weighed = mean_loss(configured(task)), mean_loss(configured(task, trainer=EVERY))
    assert weighed(SCORES, labels) == plain(SCORES, labels)


def test_without_settings_the_loss_is_bit_for_bit_the_plain_one() -> None:
    loss = of(configured("single_label", trainer={"label_smoothing_factor": 0.1}), ONE)
    assert torch.equal(loss.summed(SCORES, ONE), summed("single_label", SCORES, ONE, smoothing=0.1))


def test_balanced_weights_are_those_of_scikit_learn_in_cross_entropy() -> None:
    loss = of(configured("single_label", trainer={"class_weights": "balanced", "label_smoothing_factor": 0.2}), SEEN)
    theirs = torch.tensor(compute_class_weight("balanced", classes=np.arange(4), y=SEEN.numpy()), dtype=torch.float32)
    by_torch = torch.nn.CrossEntropyLoss(theirs, label_smoothing=0.2, reduction="sum")(SCORES, ONE)
    torch.testing.assert_close(loss.summed(SCORES, ONE), by_torch)


def test_listed_weights_count_by_their_ratios() -> None:
    one, ten = (
        of(configured("single_label", trainer={"class_weights": tuple(scale * w for w in (1.0, 2.0, 3.0, 4.0))}), SEEN)
        for scale in (1, 10)
    )
    torch.testing.assert_close(one.summed(SCORES, ONE), ten.summed(SCORES, ONE))
    assert one.weights is not None and float(one.weights[SEEN].mean()) == pytest.approx(1)


@pytest.mark.parametrize("weights", ["balanced", (1.0, 4.0, 2.0, 1.0)], ids=str)
def test_weights_of_several_labels_are_pos_weight(weights: Any) -> None:
    labels = torch.tensor([[1, 1, 1, 0], [0, 1, 0, 1], [0, 0, 1, 0], [0, 0, 1, 1]], dtype=torch.float32)
    loss = of(configured("multi_label", trainer={"class_weights": weights}), labels)
    expected = torch.tensor([3.0, 1.0, 1 / 3, 1.0] if weights == "balanced" else weights)
    by_torch = torch.nn.BCEWithLogitsLoss(pos_weight=expected, reduction="sum")(SCORES[:4], labels)
    torch.testing.assert_close(loss.summed(SCORES[:4], labels), by_torch)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_the_focal_loss_is_that_of_its_paper(gamma: float) -> None:
    scores = SCORES.clone().requires_grad_()
    found = of(configured("single_label", trainer={"focal_gamma": gamma}), ONE).summed(scores, ONE)
    chances = SCORES.softmax(1)[range(6), ONE]
    torch.testing.assert_close(found, -((1 - chances) ** gamma * chances.log()).sum())
    found.backward()
    several = of(configured("multi_label", trainer={"focal_gamma": gamma}), SEVERAL).summed(SCORES, SEVERAL)
    right = torch.where(SEVERAL == 1, SCORES.sigmoid(), 1 - SCORES.sigmoid())
    torch.testing.assert_close(several, -((1 - right) ** gamma * right.log()).sum())


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_a_focal_loss_of_certain_rows_has_finite_gradients(task: Task) -> None:
    """Below 1 the power has no slope where a probability is 1."""
    labels = torch.tensor([0, 1]) if task == "single_label" else torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    scores = torch.tensor([[1e4, -1e4], [1e4, -1e4]], requires_grad=True)
    space = LabelSpace(task, ("a", "b"))
    settings = configured(task, trainer={"focal_gamma": 0.5})
    TrainingLoss.of(settings, {}, space, torch.device("cpu")).summed(scores, labels).backward()
    assert scores.grad is not None and scores.grad.isfinite().all() and scores.grad.any()


def test_logit_adjustment_adds_the_log_of_the_shares() -> None:
    loss = of(configured("single_label", trainer={"logit_adjustment_tau": 2.0}), SEEN)
    shares = torch.tensor([0.5, 0.3, 0.1, 0.1])
    expected = summed("single_label", SCORES + 2 * shares.log(), ONE)
    torch.testing.assert_close(loss.summed(SCORES, ONE), expected)


def test_logit_adjustment_of_several_labels_adds_the_log_of_the_odds() -> None:
    """A label of two classes, yes and no, is adjusted as a task with two labels is."""
    labels = torch.tensor([[1.0]] * 2 + [[0.0]] * 6)
    settings = configured("multi_label", trainer={"logit_adjustment_tau": 1.0})
    loss = TrainingLoss.of(
        settings, {"labels": labels.tolist()}, LabelSpace("multi_label", ("a",)), torch.device("cpu")
    )
    by_two = TrainingLoss(task="single_label", shift=torch.tensor([0.75, 0.25]).log())
    scores = torch.randn(8, 1, generator=torch.Generator().manual_seed(1))
    both = torch.cat([torch.zeros_like(scores), scores], dim=1)
    torch.testing.assert_close(loss.summed(scores, labels), by_two.summed(both, labels[:, 0].long()))


def test_label_words_are_weighed_by_their_label() -> None:
    settings = configured(
        "single_label", prompt={"template": "{text}"}, trainer={"class_weights": (1.0, 1.0, 1.0, 5.0)}
    )
    loss = of(settings, SEEN)
    expected = -sum(float(SCORES[row, label]) * (5 if label == 3 else 1) / 1.4 for row, label in enumerate(ONE))
    assert float(loss.summed(SCORES, ONE)) == pytest.approx(expected, rel=1e-5)
    assert torch.equal(loss.summed(SCORES.gather(1, ONE[:, None]), ONE), loss.summed(SCORES, ONE))


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_a_label_that_a_part_of_the_rows_lacks_stays_finite(task: Task) -> None:
    labels = torch.zeros(6, dtype=torch.long) if task == "single_label" else torch.zeros(6, 4)
    loss = of(configured(task, trainer=EVERY), labels)
    assert loss.summed(SCORES, labels).isfinite()
