"""One trial of a pack fails, or memory runs out: the others keep their numbers."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from support.packs import Run, assert_alike, assert_identical, finite, go_on, one_by_one, packed, steady_plan
from sweep.data.tokenise import TokenisedData
from sweep.engine.packed import adapters
from sweep.engine.packed.memory_budget import MemoryBudget
from sweep.engine.packed.packed_model import PackedModel
from sweep.engine.reporting_trainer import ReportingTrainer
from sweep.model import base_model_cache
from sweep.records.trial import Completed, EvalPoint, Failed, FailureReason, Pruned, Step, TrialPlan, Verdict

Plan = Callable[..., TrialPlan]

MAD: dict[str, Any] = {"optimizer": {"learning_rate": 1e30}, "trainer": {"max_grad_norm": 0.0}}
SANE: dict[str, Any] = {"optimizer": {"learning_rate": 1e-3}, "trainer": {"max_grad_norm": 0.0}}
EVAL_STEPS = {"eval_strategy": "steps", "eval_steps": 1}


def around(trial: Plan, middle: TrialPlan) -> list[TrialPlan]:
    return [
        trial(0, trainer={"num_train_epochs": 1}),
        middle,
        trial(2, adapter={"method": "ia3"}, trainer={"seed": 2, "num_train_epochs": 1.2}),
        trial(3, adapter={"r": 3}, trainer={"seed": 3, "num_train_epochs": 1}),
    ]


@pytest.mark.parametrize("double", [False, True], ids=["float32", "float64"])
@pytest.mark.parametrize(("adapter", "position"), [({"r": 4}, 0), ({"r": 4}, 1), ({"method": "ia3"}, 1)], ids=str)
def test_a_trial_that_diverges_leaves_the_others_untouched(
    trial: Plan, data: TokenisedData, tmp_path: Path, request: Any, adapter: dict[str, Any], position: int, double: bool
) -> None:
    """The others have the same bits as in a pack where that trial is pruned at the same step."""
    if double:
        request.getfixturevalue("in_double")

    def prune(plan: TrialPlan, event: Step | EvalPoint) -> Verdict:
        return Verdict.PRUNE if plan.number == 1 and event.step == 2 else Verdict.CONTINUE

    def run(name: str, values: dict[str, Any], judge: Any) -> Run:
        first, middle, *rest = around(trial, trial(1, adapter=adapter, **values))
        trials = [middle, first, *rest] if position == 0 else [first, middle, *rest]
        return packed(*trials, data=data, slots=3, folder=tmp_path / name, judge=judge)

    beyond = {**MAD, "optimizer": {"learning_rate": 1e300 if double else 1e30}}
    mad, sane = run("mad", beyond, go_on), run("sane", SANE, prune)
    failed = mad.outcome(1)
    assert isinstance(failed, Failed) and isinstance(sane.outcome(1), Pruned)
    assert failed.reason is FailureReason.DIVERGED
    assert "training loss is nan at step 2 of 10" in failed.message
    assert (failed.cost.steps, failed.cost.train_loss) == (sane.outcome(1).cost.steps, None)
    assert finite(mad)
    assert_identical(mad, sane, 0, 2, 3)


def test_an_evaluation_that_is_not_finite_fails_its_trial_alone(trial: Plan, data: TokenisedData) -> None:
    mad = trial(1, optimizer=MAD["optimizer"], trainer={**MAD["trainer"], **EVAL_STEPS})
    found = packed(*around(trial, mad), data=data)
    failed = found.outcome(1)
    assert isinstance(failed, Failed)
    assert (failed.reason, failed.message) == (FailureReason.DIVERGED, "validation loss is nan at step 1 of 10")
    assert failed.evals == ()
    assert all(isinstance(found.outcome(number), Completed) for number in (0, 2, 3))
    assert finite(found)


def test_a_pack_of_diverging_trials_admits_the_next(trial: Plan, data: TokenisedData) -> None:
    trials = [trial(number, **MAD) for number in range(3)]
    found = packed(*trials, trial(3, trainer={"num_train_epochs": 1}), data=data, slots=2)
    assert [type(found.outcome(number)) for number in range(4)] == [Failed, Failed, Failed, Completed]


@contextmanager
def memory_for(
    tokens: int, monkeypatch: pytest.MonkeyPatch, *, where: str = "forward", rows: int = 10**9
) -> Iterator[list[int]]:
    """Runs out where more `tokens` enter the base at once: as they do, or at the first layer on
    the way back; or where an evaluation has more `rows` for the head. Gives the tokens of each
    failure."""
    embedding, linear = functional.embedding, functional.linear
    failures: list[int] = []

    def fail(count: int) -> None:
        failures.append(count)
        raise torch.OutOfMemoryError("out of memory: this test has so much and no more")

    def embed(ids: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if where == "forward" and ids.numel() > tokens:
            fail(ids.numel())
        return embedding(ids, *args, **kwargs)

    def multiply(values: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        found = linear(values, *args, **kwargs)
        count = values.numel() // values.shape[-1]
        if where == "backward" and count > tokens and found.requires_grad:
            found.register_hook(lambda _: fail(count))
        if where == "evaluation" and count > tokens and not torch.is_grad_enabled():
            fail(count)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(functional, "embedding", embed)
        patched.setattr(functional, "linear", multiply)
        yield failures


# The longest of all texts has 14 tokens. These hold one batch of any of `crowd`, and not those of
# two.
BATCH = 4
ENOUGH = 14 * BATCH


def crowd(trial: Plan, **trainer: Any) -> list[TrialPlan]:
    sizes = {"per_device_train_batch_size": BATCH, "per_device_eval_batch_size": BATCH, "num_train_epochs": 0.5}
    return [
        trial(0, trainer={**sizes, **trainer}),
        trial(1, adapter={"r": 2}, trainer={**sizes, "seed": 1, "gradient_accumulation_steps": 2, **trainer}),
        trial(2, adapter={"method": "ia3"}, trainer={**sizes, "seed": 2, "num_train_epochs": 1, **trainer}),
        trial(3, trainer={**sizes, "seed": 3, "per_device_train_batch_size": 3, **trainer}),
        trial(4, trainer={**sizes, "seed": 4, **trainer}),
    ]


@pytest.mark.usefixtures("in_double")
@pytest.mark.parametrize("where", ["forward", "backward", "evaluation"])
def test_without_memory_for_all_the_pack_shrinks(
    trial: Plan, data: TokenisedData, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """No trial is lost, and every number is the same as with enough memory."""
    expected = one_by_one(*crowd(trial), data=data)
    with memory_for(ENOUGH, monkeypatch, where=where) as failures:
        found = packed(*crowd(trial), data=data)
    assert 0 < len(failures) < 12
    assert_alike(found, expected)
    assert {found.outcome(number).cost.engine for number in range(5)} == {"packed"}


@pytest.mark.usefixtures("in_double")
def test_the_masks_are_those_of_a_pack_that_fits(
    model_dir: Path, data: TokenisedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trial(number: int, **sections: Any) -> TrialPlan:
        return steady_plan(model_dir, number, **sections)

    expected = packed(*crowd(trial), data=data)
    with memory_for(ENOUGH, monkeypatch, where="backward") as failures:
        found = packed(*crowd(trial), data=data)
    assert failures
    assert_alike(found, expected)


@pytest.mark.usefixtures("in_double")
@pytest.mark.parametrize("where", ["forward", "backward"])
def test_a_trial_that_does_not_fit_alone_fails_alone(
    trial: Plan, data: TokenisedData, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    big = {"per_device_train_batch_size": 40, "per_device_eval_batch_size": BATCH}
    trials = crowd(trial)
    expected = one_by_one(*trials, data=data)
    with memory_for(ENOUGH, monkeypatch, where=where):
        found = packed(trials[0], trial(7, trainer=big), *trials[1:], data=data, slots=3)
    failed = found.outcome(7)
    assert isinstance(failed, Failed)
    assert failed.reason is FailureReason.OUT_OF_MEMORY
    assert failed.message.startswith("after step 0: ")
    assert (failed.cost.steps, failed.cost.samples, failed.evals) == (0, 0, ())
    assert_alike(found, expected, numbers=[0, 1, 2, 3, 4])


@pytest.mark.usefixtures("in_double")
def test_an_evaluation_that_holds_few_rows_takes_them_trial_by_trial(
    trial: Plan, data: TokenisedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = crowd(trial, per_device_eval_batch_size=2)
    expected = one_by_one(*trials, data=data)
    with memory_for(2 * 14, monkeypatch, where="evaluation") as failures:
        found = packed(*trials, data=data)
    assert failures
    assert_alike(found, expected)


def test_an_optimizer_without_memory_for_its_state_fails_its_trial_alone(
    trial: Plan, data: TokenisedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = torch.optim.AdamW.step

    def take(self: torch.optim.AdamW, *args: Any) -> Any:
        if self.param_groups[0]["initial_lr"] == 0.125:
            raise torch.OutOfMemoryError("out of memory")
        return step(self, *args)

    monkeypatch.setattr(torch.optim.AdamW, "step", take)
    found = packed(*around(trial, trial(1, optimizer={"learning_rate": 0.125})), data=data)
    failed = found.outcome(1)
    assert isinstance(failed, Failed) and failed.reason is FailureReason.OUT_OF_MEMORY
    assert all(isinstance(found.outcome(number), Completed) for number in (0, 2, 3))


@pytest.fixture
def two_threads() -> Iterator[None]:
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


@pytest.mark.usefixtures("in_double", "two_threads")
@pytest.mark.parametrize("tokens", [10**6, 2 * ENOUGH, ENOUGH])
def test_on_two_cores_with_and_without_memory(
    trial: Plan, data: TokenisedData, monkeypatch: pytest.MonkeyPatch, tokens: int
) -> None:
    expected = one_by_one(*crowd(trial), data=data)
    with memory_for(tokens, monkeypatch, where="backward"):
        found = packed(*crowd(trial), data=data)
    assert_alike(found, expected)
    assert torch.get_num_threads() == 2


def test_memory_that_runs_out_for_any_row_fails_every_trial(
    trial: Plan, data: TokenisedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    with memory_for(1, monkeypatch, where="backward"):
        found = packed(*crowd(trial), data=data, slots=3)
    outcomes = [found.outcome(number) for number in range(5)]
    assert all(isinstance(one, Failed) and one.reason is FailureReason.OUT_OF_MEMORY for one in outcomes)


@pytest.mark.usefixtures("in_double")
def test_a_trial_that_does_not_fit_is_deferred(
    trial: Plan, data: TokenisedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory runs out while the model of the third trial is loaded beside two others."""
    expected = one_by_one(*crowd(trial), data=data)
    attach, made = base_model_cache.attach, []

    def attach_with_luck(*args: Any) -> Any:
        made.append(args)
        if len(made) == 3:
            raise torch.OutOfMemoryError("out of memory")
        return attach(*args)

    monkeypatch.setattr(base_model_cache, "attach", attach_with_luck)
    found = packed(*crowd(trial), data=data, slots=3)
    assert_alike(found, expected)


def test_a_trial_for_the_trainer_finds_the_memory_of_the_pack_free(
    trial: Plan, data: TokenisedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training every weight needs memory that is free only when no other trial's adapter is
    loaded."""
    taken, attach, training_step = [], base_model_cache.attach, ReportingTrainer.training_step

    def attached(base: Any, config: Any) -> Any:
        made = attach(base, config)
        if config.adapter.method == "lora":
            taken.append(weakref.ref(made))
        return made

    def step(self: Any, *args: Any, **kwargs: Any) -> Any:
        if any(made() is not None for made in taken):
            raise torch.OutOfMemoryError("out of memory")
        return training_step(self, *args, **kwargs)

    monkeypatch.setattr(base_model_cache, "attach", attached)
    monkeypatch.setattr(ReportingTrainer, "training_step", step)
    trials = around(trial, trial(1, adapter={"method": "full"}))
    found = packed(*trials, data=data, slots=3)
    assert all(isinstance(found.outcome(number), Completed) for number in range(4))


def test_our_own_mistakes_are_not_a_trials_failure(
    trial: Plan, data: TokenisedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedding, calls = functional.embedding, []

    def break_down(*args: Any, **kwargs: Any) -> Tensor:
        calls.append(1)
        if len(calls) > 20:
            raise RuntimeError("shapes do not match")
        return embedding(*args, **kwargs)

    monkeypatch.setattr(functional, "embedding", break_down)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        packed(*crowd(trial), data=data)


@pytest.mark.usefixtures("in_double")
def test_no_memory_while_a_second_trial_is_loaded(
    trial: Plan, data: TokenisedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory runs out between two layers; the first trial, which had trained alone, goes on as
    before."""
    trials = [trial(0), trial(1, trainer={"seed": 1, "num_train_epochs": 1})]
    of, made = adapters._Loras.of.__func__, []  # type: ignore[attr-defined]

    def once(cls: Any, loras: Any, known: Any) -> Any:
        made.append(len(loras))
        if len(loras) == 2 and made.count(2) == 3:
            raise torch.OutOfMemoryError("out of memory")
        return of(cls, loras, known)

    monkeypatch.setattr(adapters._Loras, "of", classmethod(once))
    slots = iter([1, 1])
    monkeypatch.setattr(MemoryBudget, "slots", property(lambda _: next(slots, 2)))
    assert_alike(packed(*trials, data=data), one_by_one(*trials, data=data))
    assert made.count(2) >= 3


@pytest.mark.usefixtures("two_threads")
def test_no_memory_while_a_second_shard_finds_how_its_base_pools(
    trial: Plan, data: TokenisedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    find, calls = PackedModel._find_pool, []

    def once(model: PackedModel, *args: Any) -> Any:
        calls.append(model)
        if len(calls) == 2:
            raise torch.OutOfMemoryError("out of memory")
        return find(model, *args)

    monkeypatch.setattr(PackedModel, "_find_pool", once)
    found = packed(*(trial(number, trainer={"seed": number}) for number in range(3)), data=data, slots=2)
    assert len({id(model) for model in calls}) > 1
    ends = [found.outcome(number) for number in range(3)]
    assert isinstance(ends[0], Failed) and ends[0].reason is FailureReason.OUT_OF_MEMORY
    assert [type(end) for end in ends[1:]] == [Completed, Completed]


def test_a_pack_that_shrank_does_not_grow_again() -> None:
    budget = MemoryBudget(torch.device("cpu"), 8, 2)
    for trials, most in ((4, 4), (1, 1), (3, 1)):
        budget.shrink(trials)
        assert budget.at_once == most
