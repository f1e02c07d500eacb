"""`trainer.effective_batch_size` decides the rows of an optimizer step."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from support.plans import QUICK, faults_of, space_file
from sweep.config.batch import EFFECTIVE, PER_DEVICE
from sweep.config.schema import TrainerConfig
from sweep.config.steps import evaluation_steps
from sweep.plan.plan import Plan, make_plan
from sweep.search.report_steps import ReportSteps

SPACE = f"{EFFECTIVE}: {{choices: [16, 64]}}\noptimizer.warmup_steps: {{low: 0.0, high: 0.3}}\n"


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    folder = tmp_path_factory.mktemp("space")
    return make_plan([QUICK, space_file(folder, SPACE), "trainer.eval_strategy=steps", "trainer.eval_steps=2"])


def sizes(trainer: TrainerConfig) -> tuple[int | None, int, int]:
    return trainer.effective_batch_size, trainer.per_device_train_batch_size, trainer.gradient_accumulation_steps


def test_a_searched_effective_batch_is_one_batch_until_memory_divides_it(plan: Plan) -> None:
    trial = plan.trial(0, {EFFECTIVE: 64})
    assert sizes(trial.config.trainer) == (64, 64, 1) and not trial.used
    assert "trainer.effective_batch_size=64" in trial.command and PER_DEVICE not in trial.command


def test_a_divided_trial_has_the_same_steps_and_repeats_by_its_command(plan: Plan) -> None:
    whole, divided = (plan.trial(0, {EFFECTIVE: 64}, batch=batch) for batch in (None, 16))
    assert sizes(divided.config.trainer) == (64, 16, 4)
    assert divided.used == {PER_DEVICE: 16, "trainer.gradient_accumulation_steps": 4}
    rows = len(plan.splits.train)
    assert divided.total_steps == whole.total_steps
    assert evaluation_steps(rows, divided.config.trainer) == evaluation_steps(rows, whole.config.trainer)
    again = make_plan(shlex.split(divided.command)[3:])
    assert again.config.trainer == divided.config.trainer
    assert again.trial(0, {}).total_steps == divided.total_steps


def test_a_batch_size_of_a_file_gives_way_to_an_effective_one_on_the_command_line() -> None:
    made = make_plan(["+experiment=minilm_banking77_lora", f"{EFFECTIVE}=64", "dataset=helpdesk"])
    assert sizes(made.config.trainer) == (64, 64, 1)


@pytest.mark.parametrize("base", ["minilm_banking77_lora", "quickstart"])
def test_a_batch_size_of_a_shipped_file_gives_way_to_an_effective_one_of_the_users_own(
    tmp_path: Path, base: str
) -> None:
    folder = tmp_path / "experiment"
    folder.mkdir()
    built = f"# @package _global_\ndefaults: [{base}, _self_]\ntrainer: {{effective_batch_size: 64"
    (folder / "mine.yaml").write_text(f"{built}}}\n")
    command = [f"--config-dir={tmp_path}", "+experiment=mine", "dataset=helpdesk", "study.space=null"]
    assert sizes(make_plan(command).config.trainer) == (64, 64, 1)
    (folder / "mine.yaml").write_text(f"{built}, per_device_train_batch_size: 8}}\n")
    assert "leave both out" in faults_of(*command)[EFFECTIVE]


def test_a_typed_effective_batch_is_not_searched() -> None:
    made = make_plan([QUICK, "study.space=five_knobs", f"{EFFECTIVE}=32"])
    assert PER_DEVICE not in made.space and sizes(made.trial(0, {}).config.trainer) == (32, 32, 1)
    assert any(PER_DEVICE in note and "not searched" in note for note in made.notes)


@pytest.mark.parametrize(
    ("typed", "path"),
    [
        ([f"{EFFECTIVE}=32", f"{PER_DEVICE}=16"], EFFECTIVE),
        ([f"{EFFECTIVE}=32", "trainer.gradient_accumulation_steps=2"], EFFECTIVE),
        ([f"{EFFECTIVE}=0"], EFFECTIVE),
    ],
)
def test_two_ways_to_say_the_batch_are_refused(typed: list[str], path: str) -> None:
    assert list(faults_of(QUICK, *typed)) == [path]


def test_a_space_names_one_of_the_two_ways(tmp_path: Path) -> None:
    both = faults_of(QUICK, space_file(tmp_path, f"{SPACE}{PER_DEVICE}: {{choices: [8, 16]}}\n"))
    assert list(both) == [PER_DEVICE] and EFFECTIVE in both[PER_DEVICE]
    typed = faults_of(QUICK, space_file(tmp_path, SPACE), f"{PER_DEVICE}=8")
    assert "leave both out" in typed[EFFECTIVE]


def test_report_steps_count_the_least_effective_batch(plan: Plan) -> None:
    made = ReportSteps.of([corner.trainer for corner in plan.corners], plan.space, len(plan.splits.train))
    least, most = plan.trial(0, {EFFECTIVE: 16}), plan.trial(0, {EFFECTIVE: 64}, batch=8)
    assert [made.nearest(least.config.trainer, step) for step in (2, 4, 6)] == [1, 2, 3]
    assert made.nearest(most.config.trainer, 2) == 4
