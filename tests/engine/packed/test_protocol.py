"""The packed engine as the study sees it: when it pulls trials, how it applies verdicts, what
trials cost."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.packs import Run, listen, one_by_one, packed
from support.trials import HELD_OUT, ROWS, Remembering
from sweep.config.steps import evaluation_steps
from sweep.data.tokenise import TokenisedData
from sweep.engine import memory
from sweep.engine.packed.engine import Packed
from sweep.model.base_model_cache import BaseModelCache
from sweep.records.trial import Completed, EvalPoint, Failed, FailureReason, Pruned, Step, TrialPlan, Verdict

Plan = Callable[..., TrialPlan]
Event = Step | EvalPoint


def of_length(trial: Plan, number: int, steps: int) -> TrialPlan:
    """Five steps are an epoch."""
    return trial(number, trainer={"num_train_epochs": steps / 5, "seed": number, "eval_strategy": "no"})


def at(number: int, step: int, verdict: Verdict, kind: type = Step) -> Callable[[TrialPlan, Event], Verdict]:
    def judge(trial: TrialPlan, event: Event) -> Verdict:
        hit = trial.number == number and event.step == step and isinstance(event, kind)
        return verdict if hit else Verdict.CONTINUE

    return judge


def test_every_trial_pulled_ends_once(trial: Plan, data: TokenisedData) -> None:
    found = packed(*(of_length(trial, number, number + 1) for number in range(5)), data=data, slots=2)
    ended = [one.number for one in found.said if one.kind == "ended"]
    assert found.numbers == [0, 1, 2, 3, 4]
    assert sorted(ended) == found.numbers
    for number in found.numbers:
        kinds = [one.kind for one in found.said if one.number == number]
        assert (kinds[0], kinds[-1]) == ("pulled", "ended")


def test_trials_train_side_by_side(trial: Plan, data: TokenisedData) -> None:
    found = packed(*(of_length(trial, number, 6) for number in range(3)), data=data)
    done = dict.fromkeys(range(3), 0)
    for one in found.said:
        if one.kind == "step" and one.what.step:
            done[one.number] = one.what.step
            assert max(done.values()) - min(done.values()) <= 1


def test_a_slot_is_refilled_at_once(trial: Plan, data: TokenisedData) -> None:
    """Two slots, and trials of 3, 9, 2 and 4 steps: the third begins when the first has ended, the
    fourth when the third has, and the second takes no more than a step in between."""
    trials = [of_length(trial, number, steps) for number, steps in enumerate((3, 9, 2, 4))]
    found = packed(*trials, data=data, slots=2)
    assert max(found.open) == 2
    for left, joined in ((0, 2), (2, 3)):
        gone = index(found, "ended", left)
        begun = index(found, "step", joined)
        assert gone < index(found, "pulled", joined) < begun
        between = [one for one in found.said[gone:begun] if one.kind == "step" and one.number == 1]
        assert len(between) <= 1


def index(found: Run, kind: str, number: int) -> int:
    return next(position for position, one in enumerate(found.said) if (one.kind, one.number) == (kind, number))


@pytest.mark.parametrize("slots", [1, 3])
def test_no_more_trials_are_open_than_there_are_slots(trial: Plan, data: TokenisedData, slots: int) -> None:
    """The bound also holds while some trials are trained elsewhere."""
    short = {"num_train_epochs": 0.4}
    trials = [
        trial(0, trainer=short),
        trial(1, adapter={"method": "full"}, trainer=short),
        trial(2, adapter={"quantization": "nf4", "compute_dtype": "float32"}, trainer=short),
        trial(3, adapter={"method": "head"}, trainer=short),
        trial(4, trainer=short),
    ]
    found = packed(*trials, data=data, slots=slots)
    assert max(found.open) <= slots
    assert all(isinstance(found.outcome(number), Completed) for number in range(5))


def kinds(trial: Plan, *methods: str) -> list[TrialPlan]:
    """Return one trial a method, of two epochs each."""
    nf4 = {"quantization": "nf4", "compute_dtype": "float32"}
    adapters = {"lora": {}, "nf4": nf4, "full": {"method": "full"}, "head": {"method": "head"}}
    return [trial(number, adapter=adapters[method]) for number, method in enumerate(methods)]


def open_at_first_step(found: Run, number: int) -> set[int]:
    """Return the other trials that had begun and not ended when this one took its first step."""
    said = found.said[: index(found, "step", number)]
    begun = {one.number for one in said if one.kind == "step"}
    return begun - {one.number for one in said if one.kind == "ended"}


def test_a_trial_that_cannot_be_packed_is_deferred_until_the_pack_is_empty(trial: Plan, data: TokenisedData) -> None:
    """It keeps its slot, and as many trials as there are slots may overtake it."""
    trials = kinds(trial, "lora", "full", *["lora"] * 6)
    trials[0] = of_length(trial, 0, 5)
    found = packed(*trials, data=data, slots=3)
    assert open_at_first_step(found, 1) == set()
    begun = [number for number in range(8) if index(found, "step", number) < index(found, "ended", 1)]
    assert begun == [0, 1, 2, 3, 4]  # two, three and four overtook
    assert open_at_first_step(found, 4) == {3}
    assert all(isinstance(found.outcome(number), Completed) for number in range(8))


def test_a_head_does_not_wait_for_a_pack_on_its_base(trial: Plan, data: TokenisedData) -> None:
    """It ends, and frees its slot, before any trial of the pack."""
    found = packed(*kinds(trial, "lora", "lora", "head", "lora"), data=data, slots=3)
    assert index(found, "ended", 2) < index(found, "pulled", 3) < min(index(found, "ended", n) for n in (0, 1))
    found = packed(*kinds(trial, "nf4", "head"), data=data, slots=2)
    assert index(found, "ended", 0) < index(found, "step", 1)


def test_time_that_a_trial_has_to_itself_counts_for_no_other(
    trial: Plan, data: TokenisedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock moves by a second for each step of a trial outside the pack, and by none for the
    others."""
    clock, alone = [0.0], ("full", "head")

    def judge(plan: TrialPlan, _: Event) -> Verdict:
        clock[0] += plan.config.adapter.method in alone
        return Verdict.CONTINUE

    monkeypatch.setattr("sweep.engine.clock.time.perf_counter", lambda: clock[0])
    methods = ("lora", "full", "head", "nf4", "full", "lora", "lora")
    found = packed(*kinds(trial, *methods), data=data, judge=judge, slots=4)
    for number, method in enumerate(methods):
        seconds = [step.seconds for step in found.steps(number)]
        if method in alone:
            assert seconds[-1] - seconds[0] >= 9
        else:
            assert {*seconds, found.outcome(number).cost.seconds} == {0.0}


def test_trials_on_another_base_wait_for_each_other(trial: Plan, data: TokenisedData) -> None:
    found = packed(*kinds(trial, "lora", "nf4", "full", "lora", "nf4", "nf4"), data=data, slots=6)
    assert open_at_first_step(found, 3) == {0}
    assert open_at_first_step(found, 1) == set()
    assert (open_at_first_step(found, 4), open_at_first_step(found, 5)) == ({1}, {1, 4})
    assert open_at_first_step(found, 2) == set()


def test_a_trial_that_waited_is_asked_for_before_its_model_is_made(trial: Plan, data: TokenisedData) -> None:
    base_models = Remembering("cpu")

    def judge(plan: TrialPlan, _: Event) -> Verdict:
        return Verdict.INTERRUPT if plan.number else Verdict.CONTINUE

    found = packed(*kinds(trial, "lora", "full"), data=data, base_models=base_models, judge=judge, slots=2)
    outcome, made = found.outcome(1), len(base_models.modules)
    assert isinstance(outcome, Failed) and outcome.reason is FailureReason.INTERRUPTED
    assert outcome.cost.seconds == outcome.cost.steps == 0
    base_models = Remembering("cpu")
    packed(*kinds(trial, "lora"), data=data, base_models=base_models, slots=2)
    assert len(base_models.modules) == made


def test_the_number_of_slots_can_be_left_to_the_engine(trial: Plan, data: TokenisedData) -> None:
    trials = iter([of_length(trial, number, 2) for number in range(3)])
    found = listen(lambda best_dir: Packed(BaseModelCache("cpu"), data, best_dir, slots="auto"), *trials)
    assert all(isinstance(found.outcome(number), Completed) for number in range(3))
    assert max(found.open) > 1


def test_nothing_to_train(data: TokenisedData) -> None:
    assert packed(data=data).said == []


@pytest.mark.parametrize(
    ("verdict", "kind", "reason"),
    [
        (Verdict.PRUNE, Pruned, None),
        (Verdict.INTERRUPT, Failed, FailureReason.INTERRUPTED),
        (Verdict.TIME_OUT, Failed, FailureReason.TIMED_OUT),
    ],
)
@pytest.mark.parametrize(("event", "step"), [(Step, 3), (EvalPoint, 5)])
def test_a_verdict_ends_its_trial_alone(
    trial: Plan, data: TokenisedData, verdict: Verdict, kind: type, reason: FailureReason | None, event: type, step: int
) -> None:
    """The trial ends before its next step; step 3 is not evaluated, step 5 is."""
    two = {"num_train_epochs": 1.4, "logging_steps": 2}
    trials = [trial(number, trainer={**two, "seed": number}) for number in range(3)]
    found = packed(*trials, data=data, judge=at(1, step, verdict, event))
    outcome = found.outcome(1)
    assert isinstance(outcome, kind)
    assert getattr(outcome, "reason", None) == reason
    assert found.events(1)[-1].step == outcome.cost.steps == step
    assert isinstance(found.events(1)[-1], event)
    assert len(outcome.evals) == (event is EvalPoint)
    assert [found.outcome(number).cost.steps for number in (0, 2)] == [7, 7]
    assert all(isinstance(found.outcome(number), Completed) for number in (0, 2))


def test_an_interruption_of_all_ends_all(trial: Plan, data: TokenisedData) -> None:
    """After Ctrl-C every report is answered by INTERRUPT, and no further trial is given."""
    stopped = False
    trials = [of_length(trial, number, 10) for number in range(5)]

    def judge(plan: TrialPlan, event: Event) -> Verdict:
        nonlocal stopped
        stopped = stopped or (plan.number == 1 and event.step == 4)
        return Verdict.INTERRUPT if stopped else Verdict.CONTINUE

    found = packed(*trials[:3], data=data, judge=judge, slots=3)
    for number in range(3):
        outcome = found.outcome(number)
        assert isinstance(outcome, Failed) and outcome.reason is FailureReason.INTERRUPTED
        assert outcome.cost.steps in (3, 4, 5)


def test_a_verdict_before_the_first_step(trial: Plan, data: TokenisedData) -> None:
    """A study may be stopped before anything is trained; then no trial takes more than one
    step."""
    found = packed(*(of_length(trial, number, 10) for number in range(2)), data=data,
                   judge=lambda *_: Verdict.INTERRUPT)  # fmt: skip
    for number in range(2):
        outcome = found.outcome(number)
        assert isinstance(outcome, Failed) and outcome.reason is FailureReason.INTERRUPTED
        assert outcome.cost.steps <= 1


def test_after_the_last_evaluation_a_trial_is_complete_unless_pruned(trial: Plan, data: TokenisedData) -> None:
    verdicts = (Verdict.INTERRUPT, Verdict.TIME_OUT, Verdict.PRUNE)
    found = packed(
        *(of_length(trial, number, 2) for number in range(3)), data=data,
        judge=lambda plan, event: verdicts[plan.number] if isinstance(event, EvalPoint) else Verdict.CONTINUE,
    )  # fmt: skip
    assert [type(found.outcome(number)) for number in range(3)] == [Completed, Completed, Pruned]


@pytest.mark.parametrize(
    "trainer",
    [
        {"eval_strategy": "steps", "eval_steps": 3, "num_train_epochs": 1},
        {"eval_strategy": "steps", "eval_steps": 5, "num_train_epochs": 2, "logging_steps": 4},
        {"eval_strategy": "no", "num_train_epochs": 0.3},
        {"eval_strategy": "early", "num_train_epochs": 2},
        {"gradient_accumulation_steps": 3, "num_train_epochs": 2},
        {"train_sampling_strategy": "random", "num_train_epochs": 1.3},
    ],
    ids=str,
)
def test_steps_and_evaluations_are_those_foreseen(trial: Plan, data: TokenisedData, trainer: dict[str, Any]) -> None:
    plan = trial(0, trainer=trainer)
    found = packed(plan, of_length(trial, 1, 4), data=data)
    outcome, every = found.outcome(0), plan.config.trainer.logging_steps
    assert [step.step for step in found.steps(0)] == list(range(1, plan.total_steps + 1))
    assert {step.total_steps for step in found.steps(0)} == {plan.total_steps}
    assert tuple(point.step for point in outcome.evals) == evaluation_steps(ROWS, plan.config.trainer)
    logged = [step.step for step in found.steps(0) if step.metrics]
    assert logged == [step for step in range(1, plan.total_steps + 1) if step % every == 0 or step == plan.total_steps]
    for point in outcome.evals:
        before = found.events(0)[found.events(0).index(point) - 1]
        assert isinstance(before, Step) and before.step == point.step


def test_the_cost_of_trials(trial: Plan, data: TokenisedData) -> None:
    trials = [
        trial(0, trainer={"num_train_epochs": 2}),
        trial(1, adapter={"method": "ia3"}, trainer={"num_train_epochs": 1, "seed": 1}),
        trial(2, trainer={"num_train_epochs": 1, "eval_strategy": "steps", "eval_steps": 2, "seed": 2}),
        trial(3, trainer={"num_train_epochs": 3, "per_device_train_batch_size": 13, "seed": 3}),
    ]
    found, theirs = packed(*trials, data=data, slots=3), one_by_one(*trials, data=data)
    costs = [found.outcome(number).cost for number in range(4)]
    assert [cost.engine for cost in costs] == ["packed"] * 4
    assert [cost.steps for cost in costs] == [10, 5, 5, 12]
    assert [cost.samples for cost in costs] == [2 * ROWS, ROWS, ROWS, 3 * ROWS]
    assert [cost.eval_samples for cost in costs] == [count * HELD_OUT for count in (2, 1, 3, 3)]
    for number, cost in enumerate(costs):
        assert min(cost.train_seconds, cost.eval_seconds, cost.peak_host_bytes, cost.flops) > 0
        assert cost.train_seconds + cost.eval_seconds <= cost.seconds
        assert cost.train_loss is not None and 0 < cost.train_loss < 5
        assert cost.device == "cpu"
        assert 0.4 < cost.flops / theirs.outcome(number).cost.flops <= 1  # the Trainer counts padding too
    assert sum(cost.seconds for cost in costs) <= found.seconds * 1.05
    assert sum(cost.seconds for cost in costs) > found.seconds * 0.5


def test_trials_that_end_early_cost_what_they_took(trial: Plan, data: TokenisedData) -> None:
    trials = [of_length(trial, number, 8) for number in range(2)]
    found = packed(*trials, data=data, judge=at(0, 3, Verdict.PRUNE))
    cost = found.outcome(0).cost
    assert (cost.steps, cost.samples, cost.eval_samples, cost.engine) == (3, 24, 0, "packed")
    assert 0 < cost.train_seconds <= cost.seconds and cost.eval_seconds == 0


def test_a_step_by_its_epoch(trial: Plan, data: TokenisedData) -> None:
    found = packed(of_length(trial, 0, 7), data=data)
    assert [step.epoch for step in found.steps(0)] == pytest.approx([step / 5 for step in range(1, 8)])


def test_the_artifact_is_there_when_the_trial_has_ended(trial: Plan, data: TokenisedData, tmp_path: Path) -> None:
    """The study decides at the end whether to keep the artifact: nothing may be written later."""
    there: dict[int, bool] = {}
    queue = iter([of_length(trial, 0, 2), of_length(trial, 1, 4)])

    def end(plan: TrialPlan, _: Any) -> None:
        folder = tmp_path / str(plan.number)
        there[plan.number] = (folder / "best" / "adapter_model.safetensors").exists()
        folder.rename(tmp_path / f"seen-{plan.number}")

    Packed(BaseModelCache("cpu"), data, lambda plan: tmp_path / str(plan.number) / "best", slots=2).run(
        lambda: next(queue, None), lambda *_: Verdict.CONTINUE, lambda *_: Verdict.CONTINUE, end
    )
    assert there == {0: True, 1: True}
    visible = sorted(entry.name for entry in tmp_path.iterdir() if not entry.name.startswith("."))
    assert visible == ["seen-0", "seen-1"]


def test_without_a_folder_nothing_is_written(trial: Plan, data: TokenisedData, tmp_path: Path) -> None:
    before = set(tmp_path.rglob("*"))
    packed(of_length(trial, 0, 2), of_length(trial, 1, 2), data=data)
    assert set(tmp_path.rglob("*")) == before


def test_nothing_of_a_trial_stays_in_memory(trial: Plan, data: TokenisedData) -> None:
    base_models = Remembering("cpu")
    packed(*(of_length(trial, number, 2) for number in range(3)), data=data, base_models=base_models, slots=2)
    memory.release(base_models.device)
    assert len(base_models.modules) > 10
    assert base_models.left == []


def test_numbers_are_finite_and_learnt_from(trial: Plan, data: TokenisedData) -> None:
    found = packed(*(trial(number, trainer={"num_train_epochs": 6, "seed": number}) for number in range(3)), data=data)
    for number in range(3):
        losses = found.losses(number)
        assert all(math.isfinite(loss) for loss in losses)
        assert sum(losses[-5:]) < sum(losses[:5])
