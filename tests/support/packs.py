"""The same trials through two engines, with their reports, scores and saved weights side by
side."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from support.trials import make_plan
from sweep.data.tokenise import TokenisedData
from sweep.engine.packed.engine import Packed
from sweep.engine.protocol import Engine, StudyCallbacks
from sweep.engine.trainer import OneByOne, trained
from sweep.model.base_model_cache import BaseModelCache
from sweep.records.snapshot import Snapshot
from sweep.records.trial import EvalPoint, Outcome, Step, TrialPlan, Verdict

Judge = Callable[[TrialPlan, Step | EvalPoint], Verdict]
MakeEngine = Callable[[Callable[[TrialPlan], Path | None]], Engine]

EXACT = 1e-8  # in float64, relative
CLOSE = 1e-4  # in float32


def steady_plan(model_dir: Path, number: int = 0, **sections: Any) -> TrialPlan:
    """Return a plan with LoRA and no dropout, which logs every step and saves its weights at each
    evaluation."""
    adapter = {"method": "lora", **sections.pop("adapter", {})}
    if adapter["method"] == "lora":
        adapter = {"lora_dropout": 0.0, **adapter}
    trainer = {"logging_steps": 1, "save_best": True, "save_newest": True, **sections.pop("trainer", {})}
    return make_plan(model_dir, number=number, adapter=adapter, trainer=trainer, **sections)


def go_on(_: TrialPlan, __: Step | EvalPoint) -> Verdict:
    return Verdict.CONTINUE


@dataclass(frozen=True, slots=True)
class Said:
    """`what` is None of a trial that was pulled."""

    kind: Literal["pulled", "step", "eval", "ended"]
    number: int
    what: Any = None


@dataclass
class Run:
    """The record of one engine: its callbacks in order for all its trials, and the weights that it
    saved, by trial, if there was a folder for them. `best` are those of the best evaluation,
    `newest` of the last."""

    said: list[Said] = field(default_factory=list)
    best: dict[int, Mapping[str, Tensor]] = field(default_factory=dict)
    newest: dict[int, Mapping[str, Tensor]] = field(default_factory=dict)
    snapshots: dict[int, list[Snapshot]] = field(default_factory=dict)
    seconds: float = 0.0

    def events(self, number: int) -> list[Step | EvalPoint]:
        """Return steps and evaluations of a trial, without steps that only ask for a verdict."""
        return without_questions(one.what for one in self.said if one.number == number and one.kind in ("step", "eval"))

    def steps(self, number: int) -> list[Step]:
        return [event for event in self.events(number) if isinstance(event, Step)]

    def losses(self, number: int) -> list[float]:
        return [step.metrics["train/loss"] for step in self.steps(number)]

    def outcome(self, number: int) -> Outcome:
        (found,) = (one.what for one in self.said if one.number == number and one.kind == "ended")
        return found  # type: ignore[no-any-return]

    @property
    def numbers(self) -> list[int]:
        return [one.number for one in self.said if one.kind == "pulled"]

    @property
    def open(self) -> list[int]:
        """Return the number of trials that were pulled and had not ended, each time one was
        pulled."""
        change = {"pulled": 1, "ended": -1}
        return [
            sum(change.get(earlier.kind, 0) for earlier in self.said[: place + 1])
            for place, one in enumerate(self.said)
            if one.kind == "pulled"
        ]


def without_questions(events: Iterable[Step | EvalPoint]) -> list[Step | EvalPoint]:
    """Leave out any step that is 0 or was reported before, which only asks for a verdict."""
    seen, found = {0}, []
    for event in events:
        if isinstance(event, EvalPoint) or event.step not in seen:
            found.append(event)
        if isinstance(event, Step):
            seen.add(event.step)
    return found


def listen(engine: MakeEngine, *trials: TrialPlan, judge: Judge = go_on, folder: Path | None = None) -> Run:
    """`folder` is where each trial saves its adapter, under its number."""
    run, queue = Run(), iter(trials)

    def best_dir(trial: TrialPlan) -> Path | None:
        return folder / str(trial.number) / "best" if folder is not None else None

    def pull() -> TrialPlan | None:
        trial = next(queue, None)
        if trial is not None:
            run.said.append(Said("pulled", trial.number))
        return trial

    def hear(trial: TrialPlan, event: Step | EvalPoint) -> Verdict:
        run.said.append(Said("step" if isinstance(event, Step) else "eval", trial.number, event))
        return judge(trial, event)

    def end(trial: TrialPlan, outcome: Outcome) -> None:
        run.said.append(Said("ended", trial.number, outcome))

    def keep(trial: TrialPlan, snapshot: Snapshot) -> None:
        run.snapshots.setdefault(trial.number, []).append(snapshot)

    begun = time.perf_counter()
    engine(best_dir).run(pull, hear, hear, end, keep)
    run.seconds = time.perf_counter() - begun
    for number in run.numbers if folder is not None else ():
        for name, kept in (("best", run.best), ("newest", run.newest)):
            file = folder / str(number) / name / "adapter_model.safetensors"
            if file.exists():
                kept[number] = load_file(file)
    return run


def one_by_one(
    *trials: TrialPlan,
    data: TokenisedData,
    base_models: BaseModelCache | None = None,
    judge: Judge = go_on,
    folder: Path | None = None,
) -> Run:
    made = base_models or BaseModelCache("cpu")
    return listen(lambda best_dir: OneByOne(made, data, best_dir), *trials, judge=judge, folder=folder)


def repeated(*trials: TrialPlan, data: TokenisedData) -> Run:
    """Each alone by the Trainer, with the dropout of a pack, as a packed winner is retrained."""
    run = Run()

    def hear(trial: TrialPlan, event: Step | EvalPoint) -> Verdict:
        run.said.append(Said("step" if isinstance(event, Step) else "eval", trial.number, event))
        return Verdict.CONTINUE

    for trial in trials:
        run.said.append(Said("pulled", trial.number))
        heard = partial(hear, trial)
        study = StudyCallbacks(heard, heard)
        with trained(trial, base_models=BaseModelCache("cpu"), data=data, study=study, as_packed=True) as done:
            run.said.append(Said("ended", trial.number, done.outcome))
    return run


def packed(
    *trials: TrialPlan,
    data: TokenisedData,
    slots: int = 4,
    base_models: BaseModelCache | None = None,
    judge: Judge = go_on,
    folder: Path | None = None,
) -> Run:
    made = base_models or BaseModelCache("cpu")
    return listen(
        lambda best_dir: Packed(made, data, best_dir, slots=slots, announce=True), *trials, judge=judge, folder=folder
    )


def both(
    *trials: TrialPlan, data: TokenisedData, folder: Path, slots: int = 4, judge: Judge = go_on
) -> tuple[Run, Run]:
    """Return the runs of the packed engine and of the Trainer."""
    ours = packed(*trials, data=data, slots=slots, judge=judge, folder=folder / "packed")
    return ours, one_by_one(*trials, data=data, judge=judge, folder=folder / "trainer")


def assert_alike(
    found: Run, expected: Run, tolerance: float = EXACT, *, numbers: list[int] | None = None, weights: bool = True
) -> None:
    """Check that each trial has the same events in the same order, with the same numbers, outcome
    and weights. Without `numbers` both runs must have had the same trials."""
    if numbers is None:
        assert sorted(found.numbers) == sorted(expected.numbers)
    for number in expected.numbers if numbers is None else numbers:
        ours, theirs = found.events(number), expected.events(number)
        assert [_place(event) for event in ours] == [_place(event) for event in theirs], f"trial {number}"
        for event, other in zip(ours, theirs, strict=True):
            same = pytest.approx(other.metrics, rel=tolerance, abs=tolerance, nan_ok=True)
            assert event.metrics == same, _where(number, event)
        _assert_same_end(found.outcome(number), expected.outcome(number), tolerance, number)
        if weights:
            for kept, others in ((found.best, expected.best), (found.newest, expected.newest)):
                assert (number in kept) == (number in others), f"trial {number}"
                if number in kept:
                    _assert_same_weights(kept[number], others[number], tolerance, number)


def assert_identical(found: Run, expected: Run, *numbers: int) -> None:
    """Check that two runs are the same to the last bit."""
    for number in numbers:
        assert found.events(number) == expected.events(number), f"trial {number}"
        for kept, others in ((found.best, expected.best), (found.newest, expected.newest)):
            assert kept.keys() == others.keys()
            for name, weight in kept.get(number, {}).items():
                assert torch.equal(weight, others[number][name]), f"trial {number}: {name}"


def _place(event: Step | EvalPoint) -> tuple[Any, ...]:
    total = event.total_steps if isinstance(event, Step) else event.index
    return type(event).__name__, event.step, total, pytest.approx(event.epoch), tuple(event.metrics)


def _where(number: int, event: Step | EvalPoint) -> str:
    return f"trial {number}, {type(event).__name__} {event.step}"


def _assert_same_end(ours: Outcome, theirs: Outcome, tolerance: float, number: int) -> None:
    assert type(ours) is type(theirs), f"trial {number}: {ours}"
    for name in ("reason", "stopped_early"):
        assert getattr(ours, name, None) == getattr(theirs, name, None), f"trial {number}: {name}"
    mine, other = getattr(ours, "best", None), getattr(theirs, "best", None)
    assert (mine and mine.step) == (other and other.step), f"trial {number}: the best evaluation"
    for name in ("steps", "samples", "eval_samples", "device"):
        assert getattr(ours.cost, name) == getattr(theirs.cost, name), f"trial {number}: {name}"
    assert ours.cost.train_loss == pytest.approx(theirs.cost.train_loss, rel=tolerance), f"trial {number}"


def _assert_same_weights(
    ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], tolerance: float, number: int
) -> None:
    """Compare each tensor relative to its largest value: weights that started at zero have no
    scale of their own."""
    assert ours.keys() == theirs.keys(), f"trial {number}"
    for name, weight in theirs.items():
        assert (ours[name].shape, ours[name].dtype) == (weight.shape, weight.dtype), f"trial {number}: {name}"
        apart = float((ours[name] - weight).abs().max())
        assert apart <= tolerance * max(float(weight.abs().max()), 1e-3), f"trial {number}: {name}"


@contextmanager
def double_precision(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Compute base, adapter, head, loss and optimizer state in float64, in every engine.

    No config asks for float64, and several places go to float32 on purpose: the head, the loss,
    norms inside the models. Within the context, conversions of float64 tensors and modules to
    float32 have no effect. Random numbers and rotary angles may be rounded on the way: they are
    the same for every engine.
    """
    to, softmax = Tensor.to, functional.softmax

    def widely(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if self.dtype is torch.float64:
            args = tuple(torch.float64 if arg is torch.float32 else arg for arg in args)
            if kwargs.get("dtype") is torch.float32:
                kwargs["dtype"] = torch.float64
        return to(self, *args, **kwargs)

    def widely_too(scores: Tensor, *args: Any, dtype: torch.dtype | None = None, **kwargs: Any) -> Tensor:
        kwargs["dtype"] = None if scores.dtype is torch.float64 else dtype
        return softmax(scores, *args, **kwargs)

    default = torch.get_default_dtype()
    with monkeypatch.context() as patched:
        patched.setattr("sweep.model.base_model_cache.base_dtype", lambda *_: "float64")
        patched.setattr(Tensor, "to", widely)
        patched.setattr(Tensor, "float", Tensor.double)
        patched.setattr(nn.Module, "float", nn.Module.double)
        patched.setattr(functional, "softmax", widely_too)
        patched.setattr("sweep.model.adapter.widen", lambda *_: None)
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            torch.set_default_dtype(default)


def finite(run: Run) -> bool:
    return all(
        math.isfinite(value) for one in run.said if one.kind in ("step", "eval") for value in one.what.metrics.values()
    )
