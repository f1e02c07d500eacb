"""The last steps on workers: their values are plain, and a lost worker costs what came after its
last snapshot."""

from __future__ import annotations

import os
import pickle
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from support.finals import assert_same
from support.program import final
from support.program import run as program
from support.tiny import tiny_bert
from sweep.data.splits import Splits
from sweep.final import local_model
from sweep.final.training_listener import TrainingListener
from sweep.launch import start
from sweep.launch.inline import Inline
from sweep.launch.launcher import Make
from sweep.launch.lost import WorkerLostError
from sweep.plan.plan import Plan
from sweep.records.trial import Step, Verdict

SMALL = (
    "+experiment=quickstart", "dataset.max_train_samples=24", "dataset.max_eval_samples=16", "dataset.max_test_samples=16",
    "trainer.per_device_train_batch_size=8", "study.snapshot_every=0",
)  # fmt: skip
FULL = (*SMALL, "adapter=full", "study.snapshots=always")

Run = Callable[..., int]
Losses = dict[str, tuple[int, ...]]  # by the method or callback: at which of its calls a worker is lost


@dataclass
class Elsewhere(Inline):
    """Hosts objects behind pickle, without test rows, and loses the worker at some calls."""

    inline: bool = False
    losses: Losses = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def hosted(self, make: Make) -> Iterator[Any]:
        data = self.workspace.data
        data.splits = without_test(data.splits)
        made = _copy(make)(self.workspace.base_models, data)
        try:
            yield _Elsewhere(self, made)
        finally:
            made.close()

    def heard(self, name: str) -> None:
        self.calls[name] += 1
        if self.calls[name] in self.losses.get(name, ()):
            raise WorkerLostError("host", "it was killed")


def without_test(splits: Splits) -> Splits:
    return Splits(splits.labels, splits.train, splits.validation, None, splits.state, splits.warnings)


@dataclass
class _Elsewhere:
    owner: Elsewhere
    made: Any
    host: str = "host"
    worker: str = "host/0"

    def call(self, method: str, *args: Any, callbacks: object | None = None) -> Any:
        self.owner.heard(method)
        more = () if callbacks is None else (_Callbacks(self.owner, callbacks),)
        found = _copy(getattr(self.made, method)(*map(_copy, args), *more))
        self.owner.heard(f"{method} over")
        return found


@dataclass
class _Callbacks:
    owner: Elsewhere
    heard: Any
    leaving: bool = False

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any) -> Any:
            self.owner.heard(name)
            return _copy(getattr(self.heard, name)(*map(_copy, args)))

        return call


def _copy(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture
def run(model: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Give a folder, the losses and overrides to the program, and get its exit code; without losses
    all runs in this process."""

    def give(folder: Path, losses: Losses | None, *more: str) -> int:
        @contextmanager
        def launched(plan: Plan, **_: Any) -> Iterator[Inline]:
            here = Inline.of(plan)
            yield here if losses is None else Elsewhere(here.workspace, losses=losses)

        monkeypatch.setenv("SWEEP_CACHE", str(folder / "cache"))
        monkeypatch.setattr(start, "launched", launched)
        return program(
            monkeypatch, f"run_dir={folder / 'run'}", "tracker=none", "study.space=null", "study.n_trials=1",
            "study.pruner=none", "engine=trainer", "trainer.num_train_epochs=2", "trainer.logging_steps=1",
            f"model.path={model}", *more,
        )  # fmt: skip

    return give


def test_a_lost_worker_costs_what_came_after_its_snapshot(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = (*SMALL, "adapter=lora", "study.refit=true")
    monkeypatch.setattr(local_model, "_PART", 5000)
    assert run(tmp_path / "whole", None, *options) == 0
    losses: Losses = {
        "train": (1,), "step": (3, 9), "evaluated": (4,), "snapshot": (2, 5), "train over": (1,),  # of the retraining
        "test": (1,), "part": (2,),  # of the refit
    }  # fmt: skip
    assert run(tmp_path / "lost", losses, *options) == 0
    said = capsys.readouterr().err
    assert said.count("the worker on host is gone: it was killed") == sum(map(len, losses.values()))
    assert "the training goes on after step 6, on another worker" in said  # of 6: nothing is trained again
    assert_same(tmp_path / "lost", tmp_path / "whole")
    # The rows went to the same model twice, and nobody saw a result before the second time.
    assert final(tmp_path / "lost").test_readings == 1


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_snapshots_of_all_weights_stay_with_the_worker(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = (*FULL, "study.refit=true")
    assert run(tmp_path / "whole", None, *options) == 0
    steps, usual = list[int](), TrainingListener.step
    monkeypatch.setattr(TrainingListener, "step", lambda self, step: (steps.append(step.step), usual(self, step))[1])
    losses: Losses = {"step": (4, 9), "snapshot": tuple(range(1, 99)), "test": (1,)}
    assert run(tmp_path / "lost", losses, *options) == 0
    assert capsys.readouterr().err.count("the worker on host is gone") == 3
    taken = [step for step in steps if step]  # of the retraining and of the refit: none is repeated
    assert taken == [*range(1, 7), *range(1, 11)]
    assert_same(tmp_path / "lost", tmp_path / "whole")
    assert not list((tmp_path / "lost" / "cache" / "kept").rglob("*.*"))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("order", [(None, {}), ({}, None)], ids=["then on a worker", "then in this process"])
def test_a_training_of_all_weights_goes_on_where_the_launcher_changes(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: tuple[Losses | None, Losses | None]
) -> None:
    assert run(tmp_path / "whole", None, *FULL) == 0
    steps, usual = list[int](), TrainingListener.step

    def step(self: TrainingListener, taken: Step) -> Verdict:
        steps.append(taken.step)
        if taken.step == 4 and steps.count(4) == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return usual(self, taken)

    monkeypatch.setattr(TrainingListener, "step", step)
    first, second = order
    assert run(tmp_path / "stopped", first, *FULL) == 130
    assert run(tmp_path / "stopped", second, *FULL) == 0
    assert [step for step in steps if step] == [*range(1, 7)]
    assert_same(tmp_path / "stopped", tmp_path / "whole")


def test_thresholds_are_tuned_on_a_worker_and_all_weights_come_back(run: Run, tmp_path: Path) -> None:
    words = ("lost", "fee", "card", "top up", "transfer", "pin")
    for split, count in (("train", 30), ("held", 22), ("test", 24)):
        texts = [f"my {words[i % 6]} {words[(i * 5 + i // 6) % 6]} {words[(i // 2) % 6]}" for i in range(count)]
        lines = [f"{text},{int('lost' in text)},{int('fee' in text)}" for text in texts]
        (tmp_path / f"{split}.csv").write_text("\n".join(["text,lost,fee", *lines]) + "\n")
    options = (
        "dataset=custom", f"dataset.path={tmp_path}", "dataset.task=multi_label", "dataset.label_columns=[lost,fee]",
        "dataset.validation_split=held", "model=custom", "study.metric=eval/f1_macro", "adapter=full",
        "trainer.decision_threshold=tuned",
    )  # fmt: skip
    assert run(tmp_path / "whole", None, *options) == 0
    assert run(tmp_path / "lost", {"validation over": (1,), "test over": (1,)}, *options) == 0
    assert_same(tmp_path / "lost", tmp_path / "whole")
    assert final(tmp_path / "lost").tuned


def test_a_training_that_loses_every_worker_is_given_up(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], opened: list[int]
) -> None:
    options = ("+experiment=quickstart", "adapter=head", "dataset.max_train_samples=24", "dataset.max_eval_samples=16")
    assert run(tmp_path, {"step": tuple(range(1, 99))}, *options) == 2
    assert "one worker after the other was lost in the same training" in capsys.readouterr().err
    assert opened == []
