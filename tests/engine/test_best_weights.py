"""The weights that are left of a trial, in memory and on disk: those of its best evaluation, and
of its newest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from support.trials import HELD_OUT, Watcher, retrained
from sweep.data.collate import collator
from sweep.data.tokenise import TokenisedData
from sweep.engine.best_weights import Best
from sweep.engine.evaluation import measure, predict
from sweep.engine.loss import mean_loss
from sweep.model.artifact import load
from sweep.model.base_model_cache import BaseModelCache
from sweep.records.trial import Completed, TrialPlan

Plan = Callable[..., TrialPlan]


@pytest.mark.parametrize("method", ["lora", "ia3", "head", "full"])
def test_the_model_left_is_that_of_the_best_evaluation(
    plan: Plan, base_models: BaseModelCache, data: TokenisedData, watcher: Watcher, method: str
) -> None:
    trial = plan(adapter={"method": method}, trainer={"num_train_epochs": 4, "eval_strategy": "steps", "eval_steps": 1})
    with retrained(trial, base_models=base_models, data=data) as done:
        assert isinstance(done.outcome, Completed)
        found = done.predict(data.validation(done.tokenizer, None))
    assert measure("single_label", found, "eval", own=()).values == done.outcome.best.metrics
    assert found.scores.shape == (HELD_OUT, 4)


def test_the_best_adapter_is_on_disk_and_nothing_else(
    plan: Plan, base_models: BaseModelCache, data: TokenisedData, watcher: Watcher, tmp_path: Path
) -> None:
    trial = plan(trainer={"num_train_epochs": 3, "save_best": True})
    outcome = watcher.run(trial, base_models=base_models, data=data, best_dir=tmp_path / "best")
    assert isinstance(outcome, Completed)
    assert [entry.name for entry in tmp_path.iterdir() if not entry.name.startswith(".")] == ["best"]
    model, tokenizer = load(tmp_path / "best")
    assert model(**tokenizer(["card fees"], return_tensors="pt")).logits.shape == (1, 4)


@pytest.mark.parametrize("method", ["lora", "head"])
def test_the_newest_adapter_is_replaced_at_each_evaluation(
    plan: Plan, base_models: BaseModelCache, data: TokenisedData, tmp_path: Path, method: str
) -> None:
    """The learning rate makes the model worse: the first evaluation is the best, the last the
    newest."""
    trial = plan(
        adapter={"method": method},
        study={"metric": "eval/loss", "direction": "minimize"},
        optimizer={"learning_rate": 5.0, "lr_scheduler_type": "constant"},
        trainer={
            "save_best": True,
            "save_newest": True,
            "eval_strategy": "steps",
            "eval_steps": 1,
            "max_grad_norm": 0.0,
            "train_sampling_strategy": "random",
        },
    )
    watcher = Watcher()
    outcome = watcher.run(trial, base_models=base_models, data=data, best_dir=tmp_path / "best")
    assert isinstance(outcome, Completed)
    assert outcome.best.step < outcome.evals[-1].step
    losses = {}
    for name in ("best", "newest"):
        model, tokenizer = load(tmp_path / name)
        rows = data.validation(tokenizer, None)
        losses[name] = predict(
            model, rows, collate=collator(tokenizer, data.splits.labels), batch_size=32, loss=mean_loss(trial.settings)
        ).loss
    assert losses["best"] == pytest.approx(outcome.best.metrics["eval/loss"], rel=1e-4)
    assert losses["newest"] == pytest.approx(outcome.evals[-1].metrics["eval/loss"], rel=1e-4)


def test_the_best_weights_are_kept_apart_only_where_they_are_not_the_present_ones(tmp_path: Path) -> None:
    saved: list[Path] = []

    def keeper() -> Best:
        torch.manual_seed(0)
        return Best(nn.Linear(2, 2), saved.append, tmp_path / "best")

    best = keeper()
    assert best.state_dict() == {"kept": False, "weights": None}
    best.keep()
    assert best.state_dict() == {"kept": True, "weights": None}
    first = best.model.weight.detach().clone()  # type: ignore[union-attr,operator]
    with torch.no_grad():
        best.model.weight.add_(1.0)  # type: ignore[union-attr,operator]
    state = best.state_dict()
    assert torch.equal(state["weights"]["weight"], first)

    again = keeper()
    with torch.no_grad():
        again.model.weight.fill_(7.0)  # type: ignore[union-attr,operator]
    saved.clear()
    again.load_state_dict(state)
    assert saved == []
    again.restore()
    assert torch.equal(again.model.weight, first)  # type: ignore[arg-type]
    assert len(saved) == 1  # the artifact is written at the end
    untouched = keeper()
    untouched.load_state_dict({"kept": False, "weights": None})
    untouched.restore()
    assert len(saved) == 1
