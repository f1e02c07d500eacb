"""The order of rows: the Trainer's where nothing is dropped, and the same in every engine where
something is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers.trainer_pt_utils import LengthGroupedSampler

from support.packable import tiny
from support.packs import one_by_one, packed, steady_plan
from sweep.data.tokenise import TokenisedData
from sweep.engine.arguments import training_arguments
from sweep.engine.cached_head import CachedHeadLoop
from sweep.engine.order import row_order
from sweep.engine.packed.slot import Slot
from sweep.engine.reporting_trainer import ReportingTrainer
from sweep.model.base_model_cache import BaseModelCache

LENGTHS = [3, 9, 4, 12, 7, 7, 1, 5, 20, 2, 6, 8, 8, 30, 2, 11, 3]


def test_the_trainers_own_order_where_nothing_else_is_drawn(tmp_path: Path) -> None:
    trial = steady_plan(tmp_path, trainer={"seed": 5, "per_device_train_batch_size": 2})
    order = row_order(LENGTHS, training_arguments(trial.settings, torch.device("cpu"), tmp_path))
    with torch.random.fork_rng([]):
        torch.manual_seed(5)
        loader = torch.utils.data.DataLoader(
            range(len(LENGTHS)), batch_size=2, sampler=LengthGroupedSampler(2, lengths=LENGTHS), collate_fn=list
        )
        expected = [list(loader) for _ in range(3)]
        after = torch.get_rng_state()
        torch.manual_seed(5)
        found = [list(order) for _ in range(3)]
        assert found == expected
        assert torch.equal(torch.get_rng_state(), after)


def test_drawing_in_between_changes_nothing(tmp_path: Path) -> None:
    trial = steady_plan(tmp_path, trainer={"seed": 5})
    arguments = training_arguments(trial.settings, torch.device("cpu"), tmp_path)
    still, shaken = row_order(LENGTHS, arguments), row_order(LENGTHS, arguments)
    with torch.random.fork_rng([]):
        for _ in range(3):
            expected = list(still)
            torch.rand(7)
            assert list(shaken) == expected


Batches = list[list[tuple[int, ...]]]


@pytest.mark.parametrize("strategy", ["group_by_length", "random"])
@pytest.mark.parametrize("engine", ["trainer", "packed", "frozen"])
def test_engines_agree_over_epochs_with_dropout(
    data: TokenisedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strategy: str, engine: str
) -> None:
    adapter = {"method": "head"} if engine == "frozen" else {"method": "lora", "lora_dropout": 0.2}
    trainer = {"num_train_epochs": 3, "train_sampling_strategy": strategy, "seed": 2, "gradient_accumulation_steps": 2}
    trial = steady_plan(tiny("distilbert", tmp_path / "model", dropout=0.3), adapter=adapter, trainer=trainer)
    rows = data.train(BaseModelCache("cpu").tokenizer(trial.config.model), None, None)
    tokens = [tuple(row) for row in rows["input_ids"][:]]
    seen = watched(monkeypatch, tokens)
    run = (packed if engine == "packed" else one_by_one)(trial, data=data)
    assert run.outcome(0).cost.engine == engine
    order = row_order(rows["length"][:], training_arguments(trial.settings, torch.device("cpu"), tmp_path))
    assert seen == [[tokens[row] for row in batch] for _ in range(3) for batch in list(order)]


def watched(monkeypatch: pytest.MonkeyPatch, tokens: list[tuple[int, ...]]) -> Batches:
    """Return a list that is filled with the batches that an engine trains on."""
    seen: Batches = []
    step, finish_batch, run_pass = ReportingTrainer.training_step, Slot.finish_batch, CachedHeadLoop._pass

    def by_trainer(self: Any, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Tensor:
        ids, real = inputs["input_ids"].tolist(), inputs["attention_mask"].sum(1).tolist()
        seen.append([tuple(row[:length]) for row, length in zip(ids, real, strict=True)])
        return step(self, model, inputs, *args, **kwargs)

    def by_pack(self: Slot, *args: Any) -> bool:
        seen.append([tokens[row] for row in self.pending[0]])
        return finish_batch(self, *args)

    def by_head(self: CachedHeadLoop, batches: list[list[int]]) -> None:
        seen.extend([tokens[row] for row in rows] for rows in batches)
        run_pass(self, batches)

    monkeypatch.setattr(ReportingTrainer, "training_step", by_trainer)
    monkeypatch.setattr(Slot, "finish_batch", by_pack)
    monkeypatch.setattr(CachedHeadLoop, "_pass", by_head)
    return seen
