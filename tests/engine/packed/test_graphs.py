"""Passes that are recorded and run again: the numbers are those of passes that are not.

Here they are run again by calling them; on a GPU, as CUDA graphs (`test_gpu.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from support.packable import PACKABLE, WINDOWED, tiny
from support.packs import EXACT, Judge, Run, assert_alike, assert_identical, both, finite, go_on, packed, steady_plan
from sweep.data.tokenise import TokenisedData
from sweep.engine.packed.batch import PackedBatch
from sweep.engine.packed.graphs import Graphs
from sweep.engine.packed.noise import Counted
from sweep.records.trial import Completed, EvalPoint, Failed, Step, TrialPlan, Verdict

Plan = Callable[..., TrialPlan]


@dataclass
class Calls:
    """A `Player` whose recordings are the calls themselves."""

    recorded: int = 0
    played: int = 0
    forgotten: int = 0

    def warm(self, work: Callable[[], None]) -> None:
        work()

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        self.recorded += 1
        forgotten = self.forgotten

        def play() -> None:
            assert self.forgotten == forgotten
            self.played += 1
            work()

        return play

    def forget(self) -> None:
        self.forgotten += 1


def record(monkeypatch: pytest.MonkeyPatch, player: Calls) -> None:
    """Let every packed model record its passes from now on."""
    monkeypatch.setattr("sweep.engine.packed.engine.graphs_for", lambda *_, **__: Graphs(player))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Every packed model records its passes."""
    player = Calls()
    record(monkeypatch, player)
    return player


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Masks are drawn as on a GPU."""
    found = cached_property(lambda batch: Counted(batch.keys, batch) if batch.noise else None)
    found.__set_name__(PackedBatch, "draws")
    monkeypatch.setattr(PackedBatch, "draws", found)


def mixed(model: Path, **more: Any) -> list[TrialPlan]:
    """Return trials with different batches, ranks, targets and lengths; the last two join
    later."""
    long, short = {"num_train_epochs": 1.4}, {"num_train_epochs": 0.6, "seed": 1}
    return [
        steady_plan(model, 0, adapter={"r": 4}, trainer=short),
        steady_plan(model, 1, adapter={"r": 16, "lora_alpha": 8}, trainer={**short, "per_device_train_batch_size": 5}),
        steady_plan(model, 2, adapter={"method": "ia3"}, optimizer={"learning_rate": 2e-2}, trainer=long),
        steady_plan(model, 3, adapter={"r": 2}, trainer={**long, "gradient_accumulation_steps": 2, "seed": 4}),
        steady_plan(model, 4, trainer={**long, "seed": 5}),
    ]  # fmt: skip


@pytest.mark.usefixtures("in_double")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in WINDOWED[:-2] else ()) for name in PACKABLE]
)
def test_in_double_precision(data: TokenisedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    trials, player = mixed(tiny(name, tmp_path / name)), Calls()
    plain = packed(*trials, data=data, slots=3, folder=tmp_path / "plain")
    record(monkeypatch, player)
    assert_alike(packed(*trials, data=data, slots=3, folder=tmp_path / "recorded"), plain)
    assert player.played > player.recorded > 0


@pytest.mark.usefixtures("in_double")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in ("bert", "gpt2") else pytest.mark.slow) for name in PACKABLE]
)
def test_in_double_precision_against_the_trainer(calls: Calls, data: TokenisedData, tmp_path: Path, name: str) -> None:
    found, expected = both(*mixed(tiny(name, tmp_path / name)), data=data, folder=tmp_path, slots=3)
    assert_alike(found, expected)
    assert calls.played > calls.recorded > 0


@pytest.mark.usefixtures("in_double", "counted")
def test_masks_do_not_depend_on_the_recording(
    data: TokenisedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny("bert", tmp_path / "bert", dropout=0.2)
    trials = [
        steady_plan(model, number, adapter={"lora_dropout": rate}, trainer={"seed": number})
        for number, rate in enumerate((0.3, 0.0, 0.1))
    ]
    plain = packed(*trials, data=data)
    player = Calls()
    record(monkeypatch, player)
    recorded = packed(*trials, data=data)
    assert player.played > 0
    for number in range(3):
        assert recorded.losses(number) == pytest.approx(plain.losses(number), rel=EXACT)


@pytest.mark.usefixtures("in_double", "counted")
def test_masks_do_not_depend_on_the_rest_of_the_pack(calls: Calls, data: TokenisedData, tmp_path: Path) -> None:
    model = tiny("gpt2", tmp_path / "gpt2", dropout=0.2)

    def shaky(number: int, **trainer: Any) -> TrialPlan:
        return steady_plan(model, number, adapter={"lora_dropout": 0.1 * number}, trainer={"seed": number, **trainer})

    alone = packed(shaky(2), data=data)
    beside = packed(shaky(1, per_device_train_batch_size=3), shaky(2), shaky(3), data=data)
    assert beside.losses(2) == pytest.approx(alone.losses(2), rel=EXACT)


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_a_trial_that_diverges_leaves_the_others_untouched(
    calls: Calls, data: TokenisedData, tmp_path: Path, pooling: str
) -> None:
    """The others have the same bits as in a pack where that trial is pruned at the same step."""
    model = tiny("gpt2", tmp_path / "gpt2")

    def run(name: str, rate: float, judge: Judge) -> Run:
        sections: dict[str, Any] = {
            "model": {"path": str(model), "pooling": pooling},
            "trainer": {"max_grad_norm": 0.0, "num_train_epochs": 1},
        }
        kinds = [{"r": 4}, {"method": "ia3"}, {"r": 4}, {"method": "ia3"}]
        trials = [
            steady_plan(model, number, adapter=kind, optimizer={"learning_rate": rate if number in (1, 2) else 1e-3}, **sections)
            for number, kind in enumerate(kinds)
        ]  # fmt: skip
        return packed(*trials, data=data, judge=judge, folder=tmp_path / name)

    def prune(plan: TrialPlan, event: Step | EvalPoint) -> Verdict:
        return Verdict.PRUNE if plan.number in (1, 2) and event.step == 2 else Verdict.CONTINUE

    mad, sane = run("mad", 1e30, go_on), run("sane", 1e-3, prune)
    assert [type(mad.outcome(number)) for number in range(4)] == [Completed, Failed, Failed, Completed]
    assert calls.played > 0
    assert finite(mad)
    assert_identical(mad, sane, 0, 3)


def test_a_pass_that_cannot_be_recorded_runs_without_a_graph(
    data: TokenisedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    @dataclass
    class Refusing(Calls):
        asked: list[str] = field(default_factory=list)

        def record(self, _: Callable[[], None]) -> Callable[[], None]:
            self.asked.append("record")
            raise RuntimeError("operation not permitted when stream is capturing\nmore")

    player, trials = Refusing(), mixed(tiny("gpt2", tmp_path / "gpt2"))[:2]
    plain = packed(*trials, data=data)
    record(monkeypatch, player)
    found = packed(*trials, data=data)
    assert player.asked == ["record"]
    assert caplog.messages == ["CUDA graphs are off: operation not permitted when stream is capturing"]
    assert all(isinstance(found.outcome(number), Completed) for number in range(2))
    assert_same_losses(found, plain, 2)


def test_long_texts_beside_short_ones_are_not_filled_up(
    calls: Calls, data: TokenisedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweep.engine.packed.static_batch._SCORES", 1)
    run = packed(*mixed(tiny("gpt2", tmp_path / "gpt2"))[:2], data=data)
    assert all(isinstance(run.outcome(number), Completed) for number in range(2))
    assert calls.recorded == 0


def assert_same_losses(found: Run, expected: Run, trials: int) -> None:
    for number in range(trials):
        assert found.losses(number) == pytest.approx(expected.losses(number), rel=1e-4)
