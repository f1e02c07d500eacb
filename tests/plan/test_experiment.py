"""Trials composed from an experiment."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from support.plans import QUICK, faults_of, space_file
from sweep.config.cli import read_arguments
from sweep.config.schema import StudyConfig
from sweep.config.space import Space
from sweep.errors import UserError
from sweep.plan.experiment import Experiment
from sweep.plan.plan import make_plan


def experiment(*arguments: str) -> Experiment:
    made, faults = Experiment.read(read_arguments(arguments))
    assert not faults
    return made


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"optimizer.learning_rate": 1.25e-3, "trainer.num_train_epochs": 2},
        {"adapter": "ia3", "adapter.target_modules": "all-linear"},
        {"prompt": "none", "optimizer.optim_args": None},
    ],
    ids=str,
)
def test_a_trial_is_composed_as_if_its_values_were_typed(params: dict[str, object]) -> None:
    typed = [f"{key}={'null' if value is None else value}" for key, value in params.items()]
    made = experiment(QUICK, "optimizer.weight_decay=0.05")
    assert made.at(params) == experiment(QUICK, "optimizer.weight_decay=0.05", *typed).config  # type: ignore[arg-type]


def test_a_trial_keeps_what_the_command_line_sets_in_the_group_that_it_changes() -> None:
    made = experiment(QUICK, "adapter.target_modules=[query]")
    assert made.at({"adapter": "ia3"}).adapter.model_dump()["target_modules"] == ("query",)


def test_values_that_break_rules_are_refused_with_each_rule_and_the_search_space() -> None:
    made = experiment(QUICK)
    made = made.searching(Space(source="mine.yaml"), made.config)
    with pytest.raises(UserError) as caught:
        made.at({"optimizer.learning_rate": -1.0, "study.metric": "eval/f1"})
    found = {fault.path: fault for fault in caught.value.faults}
    assert set(found) == {"optimizer.learning_rate", "study.metric"}
    assert {fault.origin for fault in found.values()} == {"search space mine.yaml"}


def test_the_command_of_a_trial_is_a_study_of_its_own() -> None:
    """Whatever the study's sampler is told of the searched keys."""
    start = "{optimizer.learning_rate: 2e-3, optimizer.weight_decay: 0, optimizer.warmup_steps: 0, trainer.num_train_epochs: 3}"
    plan = make_plan(
        [QUICK, "study.sampler=cmaes", f"study.sampler_options={{x0: {start}}}", "study.study_name='größe 2'"]
    )
    again = make_plan(shlex.split(plan.trial(3, {"trainer.num_train_epochs": 4}).command)[3:])
    assert again.config.study.study_name == "größe 2-trial-3" and len(again.space) == 0
    assert again.config.trainer.num_train_epochs == 4


def test_a_settled_experiment_settles_each_of_its_trials() -> None:
    made = experiment(QUICK)
    assert made.config.trainer.bf16 == made.at({}).trainer.bf16 == "auto"
    for answer in (True, False):
        trial = made.settled(bf16=answer).trial(0, {}, rows=100)
        assert trial.config.trainer.bf16 is answer and f"trainer.bf16={str(answer).lower()}" in trial.command
    chosen = experiment(QUICK, "trainer.fp16=true").settled(bf16=True)
    assert not chosen.config.trainer.in_bf16, "fp16 was asked for"


def test_the_rows_decide_how_many_steps_a_trial_takes() -> None:
    made = experiment(QUICK, "trainer.num_train_epochs=2", "trainer.per_device_train_batch_size=8")
    assert (made.trial(0, {}, rows=16).total_steps, made.trial(0, {}, rows=17).total_steps) == (4, 6)


def test_the_keys_that_the_command_line_sets_are_known_with_their_values(tmp_path: Path) -> None:
    made = experiment(
        QUICK, "adapter=ia3", "optimizer.weight_decay=0.5", space_file(tmp_path, "adapter.r: {low: 1, high: 2}")
    )
    assert made.typed_keys == ["experiment", "adapter", "optimizer.weight_decay", "study.space"]
    assert (made.value("adapter"), made.value("optimizer.weight_decay")) == ("ia3", 0.5)


def test_a_command_repeats_the_folders_of_the_user_s_own_configs(tmp_path: Path) -> None:
    plan = make_plan([QUICK, "--config-dir", str(tmp_path)])
    assert plan.command.endswith(f"--config-dir {tmp_path}")
    assert plan.trial(0, {}).command.endswith(f"--config-dir {tmp_path}")


def test_a_trial_s_command_composes_the_trial_again() -> None:
    plan = make_plan([QUICK, "optimizer.weight_decay=0.05", "tracker.tags=[a b,c]"])
    trial = plan.trial(3, {"optimizer.learning_rate": 1.25e-3, "trainer.num_train_epochs": 3})
    words = shlex.split(trial.command)
    assert words[:3] == ["python", "-m", "sweep"]
    again = make_plan(words[3:])
    assert len(again.space) == 0
    assert again.config.study.n_trials == 1
    for section in ("model", "adapter", "dataset", "optimizer", "trainer"):
        assert getattr(again.config, section) == getattr(trial.config, section)


def test_a_trial_s_command_keeps_the_engine() -> None:
    plan = make_plan([QUICK, "engine=packed", "engine.slots=8"])
    again = make_plan(shlex.split(plan.trial(3, {"optimizer.learning_rate": 1e-3}).command)[3:])
    assert (again.config.engine, again.config.study.n_trials) == (plan.config.engine, 1)
    assert make_plan([QUICK, "engine=trainer", "engine.slots=1"]).config.engine.slots == 1


def test_a_searched_group_takes_the_place_of_the_experiment_s(tmp_path: Path) -> None:
    plan = make_plan([QUICK, space_file(tmp_path, "adapter: {choices: [lora, ia3]}")])
    assert plan.trial(0, {"adapter": "ia3"}).config.adapter.method == "ia3"


def test_the_command_of_a_group_run_s_trial_is_a_study_of_its_own() -> None:
    plan = make_plan(["+experiment=compare_adapters", "study=thorough"])
    trial = plan.trial(3, {"adapter": "lora", "adapter.r": 4, "optimizer.learning_rate": 1e-3})
    again = make_plan(shlex.split(trial.command)[3:])
    assert (again.config.study.compare_by, again.config.study.confirm_seeds) == (None, 1)
    assert (again.config.adapter, again.config.optimizer) == (trial.config.adapter, trial.config.optimizer)


def test_a_prompt_can_be_searched(tmp_path: Path) -> None:
    space = space_file(tmp_path, "prompt: {choices: [none, label]}")
    by_loss = faults_of(QUICK, space, "study.metric=eval/loss", "study.direction=minimize")
    assert "is eval/loss, but prompt is searched" in by_loss["study.metric"]
    plan = make_plan([QUICK, space, "model.pooling=null"])
    assert plan.trial(0, {"prompt": "none"}).config.prompt is None
    prompt = plan.trial(1, {"prompt": "label"}).config.prompt
    assert prompt is not None and prompt.scoring == "mean"


def test_the_command_of_a_trial_needs_no_cluster() -> None:
    plan = make_plan([QUICK, "launcher=ray", "launcher.address=10.0.0.1:6379", "launcher.wait=10"])
    assert "launcher.address=10.0.0.1:6379" in plan.command
    again = make_plan(shlex.split(plan.trial(0, {}).command)[3:]).config
    assert again.launcher == make_plan([QUICK]).config.launcher


def test_a_trial_does_not_make_the_study_s_sampler_and_pruner_again(monkeypatch: pytest.MonkeyPatch) -> None:
    made, studies = experiment(QUICK), list[StudyConfig]()
    monkeypatch.setattr("sweep.plan.checks.option_faults", lambda study: studies.append(study) or ())
    made.at({"optimizer.learning_rate": 1.25e-3})
    assert studies == []
    make_plan([QUICK])
    assert studies != []
