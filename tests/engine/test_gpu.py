"""Tests that need a CUDA device: `pytest -m gpu`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from support.packable import PACKABLE, tiny
from support.packs import Run, packed, steady_plan
from support.snapshots import StopAll, TakenUp, assert_uninterrupted, gone_on, progress
from support.trials import Watcher
from sweep.data.tokenise import TokenisedData
from sweep.engine.arguments import device_faults
from sweep.engine.packed.graphs import CudaPlayer
from sweep.model.base_model_cache import BaseModelCache
from sweep.records.trial import Completed, Failed, FailureReason, Step, TrialPlan

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]

Plan = Callable[..., TrialPlan]


@pytest.fixture(scope="module")
def gpu() -> BaseModelCache:
    return BaseModelCache("cuda")


@pytest.mark.parametrize(
    "sections",
    [
        {"trainer": {"bf16": True, "gradient_checkpointing": True}},
        {"trainer": {"fp16": True}},
        {"adapter": {"method": "full"}, "trainer": {"fp16": True}},
        {"adapter": {"method": "lora", "quantization": "nf4"}, "trainer": {"bf16": True}},
        {"optimizer": {"name": "adamw_torch_fused"}},
        {"optimizer": {"name": "paged_adamw_32bit"}},
        {"optimizer": {"name": "paged_adamw_8bit"}},
    ],
    ids=str,
)
def test_precisions_and_optimizers_train(
    plan: Plan, gpu: BaseModelCache, data: TokenisedData, watcher: Watcher, sections: dict[str, Any]
) -> None:
    trial = plan(**{**sections, "trainer": {"num_train_epochs": 6, **sections.get("trainer", {})}})
    assert device_faults(trial.settings, gpu.device) == []
    outcome = watcher.run(trial, base_models=gpu, data=data)
    assert isinstance(outcome, Completed)
    assert outcome.evals[-1].metrics["eval/loss"] < outcome.evals[0].metrics["eval/loss"]
    assert outcome.cost.peak_device_bytes > 0


@pytest.mark.parametrize(
    "sections",
    [
        {"trainer": {"fp16": True}},
        {"trainer": {"fp16": True, "gradient_accumulation_steps": 2, "num_train_epochs": 4}},
        {"trainer": {"bf16": True, "gradient_checkpointing": True}},
        {"adapter": {"method": "full"}, "trainer": {"fp16": True}},
        {"adapter": {"method": "lora", "quantization": "nf4"}, "trainer": {"bf16": True}},
        {"optimizer": {"name": "paged_adamw_8bit"}, "adapter": {"method": "lora", "r": 128}},
    ],
    ids=str,
)
def test_a_trial_goes_on_from_a_snapshot(
    plan: Plan, gpu: BaseModelCache, data: TokenisedData, sections: dict[str, Any]
) -> None:
    """With fp16, the scale of the gradients goes on too."""
    TakenUp(plan(**{"adapter": {"method": "lora"}, **sections}), gpu, data).check(3, 5)


def test_divergence_shows_when_the_loss_is_logged(
    plan: Plan, gpu: BaseModelCache, data: TokenisedData, watcher: Watcher
) -> None:
    bad = plan(optimizer={"learning_rate": 1e30}, trainer={"max_grad_norm": 0.0, "logging_steps": 4})
    outcome = watcher.run(bad, base_models=gpu, data=data)
    assert isinstance(outcome, Failed)
    assert outcome.reason is FailureReason.DIVERGED
    assert outcome.message == "training loss is nan at step 4 of 10"


BF16 = {"bf16": True, "num_train_epochs": 4}


def pack(model: Path, quantization: str, **trainer: Any) -> list[TrialPlan]:
    """Return trials with different ranks, batches and lengths; the last one joins later."""
    settings: list[dict[str, Any]] = [{"r": 4}, {"r": 16}, {"method": "ia3"}, {"lora_dropout": 0.2}]
    own: list[dict[str, Any]] = [
        {},
        {"per_device_train_batch_size": 5},
        {"num_train_epochs": 2},
        {"gradient_accumulation_steps": 2},
    ]
    return [
        steady_plan(
            model,
            number,
            adapter={**settings[number], "quantization": quantization},
            trainer={**BF16, "seed": number, **own[number], **trainer},
        )  # fmt: skip
        for number in range(4)
    ]


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for each graph that runs."""
    found: list[str] = []
    record = CudaPlayer.record

    def counted(self: CudaPlayer, work: Callable[[], None]) -> Callable[[], object]:
        replay = record(self, work)

        def play() -> None:
            found.append("played")
            replay()

        return play

    monkeypatch.setattr(CudaPlayer, "record", counted)
    return found


def with_and_without(trials: list[TrialPlan], data: TokenisedData, monkeypatch: pytest.MonkeyPatch) -> tuple[Run, Run]:
    found = packed(*trials, data=data, base_models=BaseModelCache("cuda"), slots=3)
    monkeypatch.setattr("sweep.engine.packed.engine.graphs_for", lambda *_, **__: None)
    return found, packed(*trials, data=data, base_models=BaseModelCache("cuda"), slots=3)


@pytest.mark.parametrize("quantization", ["none", "nf4"])
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("name", PACKABLE)
def test_graphs_give_the_numbers_of_passes_without(
    name: str, checkpointing: bool, quantization: str, data: TokenisedData, tmp_path: Path, played: list[str],
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    if checkpointing and name not in ("gpt2", "bert"):
        pytest.skip("as the others")
    trials = pack(tiny(name, tmp_path / name, dropout=0.1), quantization, gradient_checkpointing=checkpointing)
    found, plain = with_and_without(trials, data, monkeypatch)
    assert len(played) > 10
    assert "graphs" not in caplog.text
    for number in range(len(trials)):
        assert isinstance(found.outcome(number), Completed)
        assert found.losses(number) == pytest.approx(plain.losses(number), rel=0.05, abs=0.02)


@pytest.mark.parametrize("at", [5, 14, 30])
def test_a_pack_with_graphs_goes_on_from_snapshots_bit_for_bit(
    at: int, data: TokenisedData, tmp_path: Path, played: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All trials stop in one pass, one of them in the middle of accumulation."""
    monkeypatch.setattr("sweep.engine.packed.pack_step.UNHEARD", 0.0)
    trials = pack(tiny("bert", tmp_path / "bert", dropout=0.1), "none")
    whole = packed(*trials, data=data, base_models=BaseModelCache("cuda"))
    first = packed(*trials, data=data, base_models=BaseModelCache("cuda"), judge=StopAll(at))
    again = packed(*gone_on(first, *trials), data=data, base_models=BaseModelCache("cuda"))
    assert played
    assert_uninterrupted(whole, first, again)


def test_a_trial_goes_on_in_a_pack_whose_graphs_are_recorded(
    data: TokenisedData, tmp_path: Path, played: list[str]
) -> None:
    """It joins when another trial has ended, with its weights copied to the places of the graphs."""
    model = tiny("bert", tmp_path / "bert", dropout=0.1)
    away, short, other = (
        steady_plan(model, number, trainer={**BF16, "seed": number, "num_train_epochs": epochs})
        for number, epochs in enumerate((4, 1, 4))
    )
    whole = packed(away, other, data=data, base_models=BaseModelCache("cuda"), slots=2)
    first = packed(away, data=data, base_models=BaseModelCache("cuda"), judge=StopAll(9))
    again = packed(other, short, *gone_on(first, away), data=data, base_models=BaseModelCache("cuda"), slots=2)
    assert played
    losses = [event.metrics["train/loss"] for event in progress(0, first, again) if isinstance(event, Step)]
    assert losses == pytest.approx(whole.losses(0), rel=0.05, abs=0.02)


def test_diverging_leaves_the_others(data: TokenisedData, tmp_path: Path, played: list[str]) -> None:
    model = tiny("gpt2", tmp_path / "gpt2")
    good, other = steady_plan(model, 0, trainer=BF16), steady_plan(model, 1, trainer={**BF16, "seed": 3})
    bad = steady_plan(model, 1, optimizer={"learning_rate": 1e30}, trainer={**BF16, "max_grad_norm": 0.0, "seed": 3})
    beside = packed(good, bad, data=data, base_models=BaseModelCache("cuda"))
    assert isinstance(beside.outcome(1), Failed)
    assert played
    assert beside.losses(0) == pytest.approx(
        packed(good, other, data=data, base_models=BaseModelCache("cuda")).losses(0), rel=0.02
    )


def test_a_capture_that_fails_leaves_the_device_as_it_was() -> None:
    player, stream, values = CudaPlayer(), torch.cuda.current_stream(), torch.zeros(3, device="cuda")
    with pytest.raises(RuntimeError):
        player.record(torch.cuda.synchronize)
    assert torch.cuda.current_stream() == stream
    assert torch.rand(3, device="cuda").sum() > 0
    player.forget()
    play = CudaPlayer().record(lambda: values.add_(1))
    play()
    play()
    assert values.tolist() == [2, 2, 2]
