"""Trials that the pruner cannot pause, and the plan's note on them."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.plans import QUICK, space_file
from sweep.config.schema import StudyConfig
from sweep.plan.pausing import LEAST_SCORED, pauses, trained_part
from sweep.plan.plan import make_plan

PAUSES = "study.pruner_options={budget: 0.3}"  # with few validation rows too


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["study.snapshots=never"], "study.snapshots is never"),
        (["adapter=full"], "adapter.method full has no snapshots with study.snapshots=auto"),
        (
            ["adapter=full", "study.snapshots=always", "launcher=local"],
            "with launcher=local snapshots of all weights stay on their worker",
        ),
        (["optimizer.name=adamw_anyprecision"], "optimizer.name adamw_anyprecision has no snapshots"),
    ],
)
def test_the_plan_says_why_trials_are_stopped_for_good(arguments: list[str], reason: str) -> None:
    notes = make_plan([QUICK, PAUSES, *arguments, "study.n_trials=20"]).notes
    said = "study.pruner=racing pauses trials and may let them go on later, but"
    assert [note for note in notes if "pauses trials" in note] == [
        f"{said} {reason}: trials that fall behind are stopped for good"
    ]


def test_some_of_the_trials_are(tmp_path: Path) -> None:
    space = space_file(tmp_path, "adapter: {choices: [lora, full]}")
    plan = make_plan([QUICK, PAUSES, space, "study.n_trials=20"])
    (note,) = (note for note in plan.notes if "pauses trials" in note)
    assert note.endswith("some of its trials that fall behind are stopped for good")


@pytest.mark.parametrize(
    "arguments",
    [
        ["study.snapshots=never", "study.pruner=median"],
        ["study.snapshots=never", "study.n_trials=2", PAUSES],
        ["study.snapshots=never", "study.n_trials=20"],  # of few validation rows
        ["adapter=full", "study.snapshots=always"],
        [],
    ],
)
def test_no_note_where_all_can_be_paused_or_none_is_stopped(arguments: list[str]) -> None:
    assert not [note for note in make_plan([QUICK, *arguments]).notes if "pauses trials" in note]


@pytest.mark.parametrize("sampler", ["gp", "cmaes"])
def test_a_sampler_that_learns_from_completed_trials_alone_is_noted(sampler: str) -> None:
    said = f"study.sampler={sampler} learns from completed trials alone"
    many = [QUICK, f"study.sampler={sampler}"]
    assert [note for note in make_plan([*many, PAUSES, "study.n_trials=20"]).notes if note.startswith(said)]
    never = ["study.snapshots=never", PAUSES, "study.n_trials=20"]
    for other in (["study.pruner=median"], never, [PAUSES, "study.n_trials=2"], ["study.n_trials=20"]):
        assert not [note for note in make_plan([*many, *other]).notes if note.startswith(said)]


def test_racing_pauses_where_scores_are_of_many_rows_or_the_user_wants_it() -> None:
    plain, wanted = StudyConfig(pruner="racing"), StudyConfig(pruner="racing", pruner_options={"opening": 0.1})
    assert [pauses(plain, rows) for rows in (1, LEAST_SCORED - 1, LEAST_SCORED)] == [False, False, True]
    assert pauses(wanted, 1) and not pauses(StudyConfig(pruner="median"), LEAST_SCORED)
    assert not pauses(StudyConfig(pruner="racing", pruner_options={"finalists": 4}), 1)


def test_the_part_that_is_trained_is_that_of_the_budget_where_trials_are_paused() -> None:
    plan = make_plan([QUICK, PAUSES, "study.n_trials=20"])
    assert trained_part(plan.corners, plan.space, 1) == 0.3
    few = make_plan([QUICK, PAUSES, "study.n_trials=6"])
    assert trained_part(few.corners, few.space, 1) == 0.5, "three finalists of six"
    stopping = make_plan([QUICK, "study.n_trials=20"])
    assert trained_part(stopping.corners, stopping.space, 1) == 1


def test_options_of_pauses_have_no_effect_with_two_objectives() -> None:
    two = "study.metric=[eval/f1_macro,cost/seconds]"
    notes = make_plan([QUICK, two, "study.pruner_options={budget: 0.3, opening: 0.2}"]).notes
    said = "study.pruner_options.budget and study.pruner_options.opening have no effect: with two objectives"
    assert sum(note.startswith(said) for note in notes) == 1
    assert not [note for note in make_plan([QUICK, two]).notes if "no effect" in note]
