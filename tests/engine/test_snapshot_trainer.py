"""A trial of the Trainer that is put away and taken up ends as one that never stopped, bit for
bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from support.methods import METHODS
from support.snapshots import Stopping, TakenUp, assert_same, comparable, training, with_snapshots
from support.trials import Watcher
from sweep.config.optimizers import BY_METRIC
from sweep.data.tokenise import TokenisedData
from sweep.engine.protocol import StudyCallbacks
from sweep.engine.trainer import trained
from sweep.model.base_model_cache import BaseModelCache
from sweep.model.state import trainable_state
from sweep.records.snapshot import Snapshot
from sweep.records.trial import Completed, EvalPoint, Failed, FailureReason, Pruned, Step, TrialPlan, Verdict

Plan = Callable[..., TrialPlan]

LORA: dict[str, Any] = {"method": "lora"}
BY_LENGTH = {"train_sampling_strategy": "group_by_length"}
PLATEAU = {"patience": 0, "factor": 0.5, "threshold": 100.0, "threshold_mode": "abs"}


@pytest.mark.parametrize(
    ("sections", "steps"),
    [
        ({"trainer": {"train_sampling_strategy": "random"}}, (1, 5, 7)),  # an epoch has 5 steps
        ({"trainer": BY_LENGTH}, (5, 7)),
        ({"trainer": {**BY_LENGTH, "gradient_accumulation_steps": 2}}, (1, 3, 4)),
        ({"trainer": {"bf16": True}}, (3,)),
        ({"trainer": {"early_stopping_patience": 1, "num_train_epochs": 8}}, (7,)),
        ({"trainer": {"gradient_checkpointing": True}}, (6,)),
        ({"trainer": {"class_weights": "balanced", "gradient_accumulation_steps": 2, "focal_gamma": 1.0}}, (3,)),
        ({"adapter": {"method": "full"}}, (3,)),
        ({"adapter": {"method": "lora", "quantization": "nf4", "compute_dtype": "float32"}}, (6,)),
        ({"optimizer": {"lr_scheduler_type": "cosine", "warmup_steps": 0.2}}, (6,)),
    ],
    ids=str,
)
def test_a_trial_goes_on_from_a_snapshot_bit_for_bit(
    plan: Plan, base_models: BaseModelCache, data: TokenisedData, sections: dict[str, Any], steps: tuple[int, ...]
) -> None:
    TakenUp(plan(**{"adapter": LORA, **sections}), base_models, data).check(*steps)


@pytest.mark.parametrize("schedule", BY_METRIC)
def test_a_schedule_by_metric_goes_on(
    plan: Plan, base_models: BaseModelCache, data: TokenisedData, schedule: str
) -> None:
    keywords = {**PLATEAU, **({"smooth": True, "window_size": 3} if schedule == "greedy" else {})}
    optimizer = {"lr_scheduler_type": schedule, "lr_scheduler_kwargs": keywords}
    trainer = {"num_train_epochs": 4, "logging_steps": 1}
    TakenUp(plan(optimizer=optimizer, adapter=LORA, trainer=trainer), base_models, data).check(10, 12)


def test_several_labels_go_on(plan: Plan, base_models: BaseModelCache, several: TokenisedData) -> None:
    TakenUp(plan(adapter=LORA, dataset={"task": "multi_label"}), base_models, several).check(4)


@pytest.mark.parametrize(
    "adapter",
    [
        {"method": "ia3"},
        {"method": "lora", "init": "eva", "r": 4},
        {"method": "lora", "lr_ratio": 4.0},
        *METHODS.values(),
    ],
    ids=str,
)
def test_every_adapter_method_goes_on(
    plan: Plan, base_models: BaseModelCache, data: TokenisedData, adapter: dict[str, Any]
) -> None:
    TakenUp(plan(adapter=adapter, trainer={"num_train_epochs": 1}), base_models, data).check(3)  # of five steps


def test_the_first_weights_are_not_computed_again_and_stay_in_the_cost(
    plan: Plan, data: TokenisedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = plan(adapter={"method": "lora", "init": "eva", "r": 4, "head_init": "probe"})
    taken = TakenUp(trial, BaseModelCache("cpu"), data)
    taken.check(5)
    bare = Stopping()
    bare.run(plan(adapter=LORA), base_models=taken.base_models, data=data)
    assert taken.whole.outcomes[0].cost.flops > bare.outcomes[0].cost.flops
    monkeypatch.setattr("sweep.engine.trainer.set_first_weights", None)
    taken.check(7)


@pytest.mark.parametrize("stop_at", [1, 5, 10])
def test_an_interrupted_trial_goes_on_where_it_was(
    plan: Plan, base_models: BaseModelCache, data: TokenisedData, stop_at: int
) -> None:
    """After step 10, the last one, the evaluation of its epoch is left."""
    trial = plan(adapter=LORA, study={"snapshot_every": 3600.0})
    whole, stopping, again = Stopping(), Stopping(stop_at), Stopping()
    whole.run(trial, base_models=base_models, data=data)
    stopped = stopping.run(trial, base_models=base_models, data=data)
    assert isinstance(stopped, Failed) and stopped.reason is FailureReason.INTERRUPTED
    assert [snapshot.step for snapshot in stopping.snapshots] == ([5, 10] if stop_at == 10 else [stop_at])
    again.run(replace(trial, snapshot=stopping.snapshots[-1]), base_models=base_models, data=data)
    assert training(stopping) + training(again) == training(whole)
    assert comparable(again.outcomes[-1]) == comparable(whole.outcomes[-1])


@pytest.mark.parametrize("stop_at", [5, 10])
@pytest.mark.parametrize("schedule", ["linear", "reduce_lr_on_plateau"])
def test_an_evaluation_gives_way_and_comes_first_when_the_trial_goes_on(
    plan: Plan,
    base_models: BaseModelCache,
    data: TokenisedData,
    monkeypatch: pytest.MonkeyPatch,
    stop_at: int,
    schedule: str,
) -> None:
    keywords = PLATEAU if schedule == "reduce_lr_on_plateau" else None
    optimizer = {"lr_scheduler_type": schedule, "lr_scheduler_kwargs": keywords}
    trial = plan(adapter=LORA, optimizer=optimizer, trainer={"per_device_eval_batch_size": 4})
    whole = Stopping()
    whole.run(trial, base_models=base_models, data=data)
    monkeypatch.setattr("sweep.engine.trainer.UNHEARD", 0.0)
    asked = Stopping()  # with a step that is reported again after each batch of an evaluation
    asked.judge = lambda event: stops_at_third(asked, event, stop_at)
    outcome = asked.run(trial, base_models=base_models, data=data)
    assert isinstance(outcome, Failed) and outcome.reason is FailureReason.INTERRUPTED
    assert len(outcome.evals) == stop_at // 5 - 1
    again = Stopping()
    again.run(replace(trial, snapshot=asked.snapshots[-1]), base_models=base_models, data=data)
    assert isinstance(training(again)[0], Step) and training(again)[0].step == stop_at  # a question
    rest = [event for event in training(again) if isinstance(event, EvalPoint) or event.step > stop_at]
    assert without_repeats(rest) == [event for event in training(whole) if is_left(event, stop_at)]
    assert comparable(again.outcomes[-1]) == comparable(whole.outcomes[-1])


def stops_at_third(watcher: Stopping, event: Step | EvalPoint, step: int) -> Verdict:
    same = [one for one in watcher.events if isinstance(one, Step) and one.step == step]
    return Verdict.INTERRUPT if event.step == step and len(same) == 3 else Verdict.CONTINUE


def without_repeats(events: list[Step | EvalPoint]) -> list[Step | EvalPoint]:
    """Return the events without steps that were reported again only to ask."""
    seen = list[tuple[type, int]]()
    for event in events:
        seen.append((type(event), event.step))
    return [event for place, event in enumerate(events) if (type(event), event.step) not in seen[:place]]


def is_left(event: Step | EvalPoint, step: int) -> bool:
    return event.step > step or (isinstance(event, EvalPoint) and event.step == step)


def test_an_evaluation_that_is_short_asks_nobody(plan: Plan, base_models: BaseModelCache, data: TokenisedData) -> None:
    watcher = Stopping()
    watcher.run(plan(adapter=LORA), base_models=base_models, data=data)
    assert [step.step for step in watcher.steps if step.step] == list(range(1, 11))


def heard(events: list[Step | EvalPoint]) -> Callable[[Any], Verdict]:
    def hear(event: Step | EvalPoint) -> Verdict:
        events.append(event)
        return Verdict.CONTINUE

    return hear


@pytest.mark.parametrize(
    "options", [{"as_packed": True}, {"evaluated": False}, {"evaluated": False, "as_packed": True}], ids=str
)
def test_a_retraining_goes_on(
    plan: Plan, base_models: BaseModelCache, data: TokenisedData, options: dict[str, Any]
) -> None:
    """`as_packed` draws dropout by the number of the batch; a refit ends within its schedule."""
    trial = plan(adapter={**LORA, "lora_dropout": 0.2}, trainer={"gradient_accumulation_steps": 2})
    trial = replace(trial, config=with_snapshots(trial.config), total_steps=5)

    def run(trial: TrialPlan, study: StudyCallbacks) -> Any:
        return trained(trial, base_models=base_models, data=data, study=study, snapshot_at_end=True, **options)

    events: list[Step | EvalPoint] = []
    snapshots: list[Snapshot] = []
    with run(trial, StudyCallbacks(heard(events), heard(events), snapshots.append)) as done:
        cost, weights = replace_times(done.cost), trainable_state(done.model)
    last = 6 if options.get("evaluated", True) else 5
    assert [snapshot.step for snapshot in snapshots] == list(range(1, last + 1))
    for snapshot in (snapshots[1], snapshots[2], snapshots[-1]):
        rest: list[Step | EvalPoint] = []
        going_on = replace(trial, snapshot=snapshot)
        with run(going_on, StudyCallbacks(heard(rest), heard(rest))) as done:
            assert_same(trainable_state(done.model), weights)
            assert replace_times(done.cost) == cost
        assert [event for event in rest if event.step] == [event for event in events if event.step > snapshot.step]


def replace_times(cost: Any) -> Any:
    return comparable(Pruned(evals=(), cost=cost)).cost


@pytest.mark.parametrize("change", ["adapter", "rank", "optimizer", "engine", "cut", "packages"])
def test_a_snapshot_that_does_not_suit_begins_the_trial_anew_with_one_warning(
    plan: Plan,
    base_models: BaseModelCache,
    data: TokenisedData,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    change: str,
) -> None:
    others: dict[str, Any] = {
        "adapter": {"adapter": {"method": "ia3"}}, "rank": {"adapter": {**LORA, "r": 2}},
        "optimizer": {"optimizer": {"name": "sgd"}}, "engine": {"adapter": {"method": "head"}},
    }  # fmt: skip
    says = {
        "adapter": "its snapshot has ia3 where adapter.method is now lora",
        "rank": "its snapshot has other weights than those that the trial trains",
        "optimizer": "its snapshot has sgd where optimizer.name is now adamw_torch",
        "engine": "its snapshot was taken by the loop over cached features, and now the Trainer trains it",
        "cut": "its snapshot is no snapshot",
        "packages": "its snapshot was written with torch 1",
    }
    trial = plan(adapter=LORA)
    whole, other, again = Stopping(), Stopping(4), Stopping()
    whole.run(trial, base_models=base_models, data=data)
    if change == "packages":
        monkeypatch.setattr("sweep.engine.snapshot._packages", lambda: "torch 1")
    other.run(plan(**{"adapter": LORA, **others.get(change, {})}), base_models=base_models, data=data)
    monkeypatch.undo()
    snapshot = Snapshot(other.snapshots[-1].data[:50]) if change == "cut" else other.snapshots[-1]
    again.run(replace(trial, snapshot=snapshot), base_models=base_models, data=data)
    assert training(again) == training(whole)
    (warning,) = [record.getMessage() for record in caplog.records if "anew" in record.getMessage()]
    assert warning.startswith("trial 0 begins anew: ") and says[change] in warning


def test_a_head_that_only_the_trainer_can_train_goes_on_with_it(
    plan: Plan, data: TokenisedData, base_models: BaseModelCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweep.engine.cached_head.train", lambda *_, **__: None)
    taken = TakenUp(plan(adapter={"method": "head"}), base_models, data)
    taken.check(3)
    assert taken.whole.outcomes[0].cost.engine == "trainer"


def test_a_rotary_embedding_that_grows_with_the_texts_has_no_snapshots(
    plan: Plan, base_models: BaseModelCache, data: TokenisedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.nn.LayerNorm, "rope_type", "dynamic", raising=False)
    watcher = Stopping(3)
    watcher.run(plan(adapter=LORA, study={"snapshot_every": 0.0}), base_models=base_models, data=data)
    assert watcher.snapshots == []


def test_a_trial_is_put_away_with_a_snapshot_or_trained_to_its_end(
    plan: Plan, base_models: BaseModelCache, data: TokenisedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = plan(adapter=LORA)
    away = Stopping()
    away.judge = lambda event: Verdict.PUT_AWAY if event.step >= 3 else Verdict.CONTINUE
    outcome = away.run(trial, base_models=base_models, data=data)
    assert isinstance(outcome, Failed) and outcome.reason is FailureReason.INTERRUPTED
    assert [snapshot.step for snapshot in away.snapshots] == [3] == [outcome.cost.steps]
    monkeypatch.setattr("sweep.engine.trainer.unsaved", lambda *_: "a toy cannot be saved")
    outcome = away.run(trial, base_models=base_models, data=data)
    assert isinstance(outcome, Completed) and len(away.snapshots) == 1


class Small(BaseModelCache):
    def model(self, *_: Any) -> Any:
        raise MemoryError("out of memory")


@pytest.mark.parametrize(
    ("adapter", "models", "reason"),
    [
        (LORA, Small, FailureReason.OUT_OF_MEMORY),
        ({"method": "head"}, BaseModelCache, FailureReason.TIMED_OUT),  # while features are computed again
    ],
)
def test_a_trial_that_ends_before_it_goes_on_keeps_what_its_snapshot_has(
    plan: Plan, data: TokenisedData, adapter: dict[str, Any], models: type[BaseModelCache], reason: FailureReason
) -> None:
    first, trial = Stopping(7), replace(plan(adapter=adapter), host="one", worker="one/0")
    before = first.run(trial, base_models=BaseModelCache("cpu"), data=data)
    late = Watcher(lambda event: Verdict.CONTINUE if event.step else Verdict.TIME_OUT)
    away = replace(trial, snapshot=first.snapshots[-1], worker="two/0")
    outcome = late.run(away, base_models=models("cpu"), data=data)
    assert isinstance(outcome, Failed) and outcome.reason is reason
    assert outcome.evals == before.evals and len(outcome.evals) == 1
    assert comparable(outcome).cost == comparable(before).cost
    assert [one.worker for one in outcome.cost.devices] == ["one/0", "two/0"]
    assert sum(one.seconds for one in outcome.cost.devices) == pytest.approx(outcome.cost.seconds)


@pytest.mark.parametrize("stop_at", [0, 1, 2, 3])  # an epoch has two optimizer steps, of three batches and of two
@pytest.mark.parametrize("trainer", [{}, BY_LENGTH], ids=str)
def test_a_long_optimizer_step_gives_way_and_is_repeated(
    plan: Plan, base_models: BaseModelCache, data: TokenisedData, monkeypatch: pytest.MonkeyPatch, stop_at: int,
    trainer: dict[str, Any],
) -> None:  # fmt: skip
    sections = {"gradient_accumulation_steps": 3, "num_train_epochs": 3, **trainer}
    trial = plan(adapter={**LORA, "lora_dropout": 0.2}, trainer=sections)
    whole = Stopping()
    whole.run(trial, base_models=base_models, data=data)
    monkeypatch.setattr("sweep.engine.reporting_trainer.UNHEARD", 0.0)
    asked = Stopping()  # with a question before each batch
    asked.judge = lambda event: stops_at_third(asked, event, stop_at)
    outcome = asked.run(trial, base_models=base_models, data=data)
    assert isinstance(outcome, Failed) and outcome.reason is FailureReason.INTERRUPTED
    assert outcome.cost.steps == stop_at and outcome.cost.samples < whole.outcomes[0].cost.samples
    assert [snapshot.step for snapshot in asked.snapshots[-1:]] == [stop_at][: stop_at > 0]
    again = Stopping()
    again.run(replace(trial, snapshot=next(iter(asked.snapshots[-1:]), None)), base_models=base_models, data=data)
    rest = without_repeats([event for event in training(again) if event.step > stop_at])
    assert rest == [event for event in training(whole) if event.step > stop_at]
    assert comparable(again.outcomes[-1]) == comparable(whole.outcomes[-1])
