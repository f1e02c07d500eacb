from __future__ import annotations

import io
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from rich.console import Console

from sweep.config.schema import Config, StudyConfig
from sweep.records.cost import Cost
from sweep.records.trial import Completed, EvalPoint, Step, TrialPlan, TrialRecord
from sweep.study.view import View

POINT = EvalPoint(1, 5, 0.125, {"eval/accuracy": 0.5, "eval/loss": 0.75})
TRIAL = TrialPlan(2, {"optimizer.learning_rate": 0.00123456, "adapter": "lora"}, Config(), 10, "")
BEST = TrialRecord(1, {"adapter.r": 16}, Completed(POINT, (POINT,), Cost()), "", 10, "", "")


def printed(act: Callable[[View], None], *, terminal: bool = False) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=150, height=20, highlight=False)
    with View(StudyConfig(study_name="toy"), console) as view:
        act(view)
        if view._live:
            view._live.refresh()
    return out.getvalue()


def trial(number: int, total: int = 10) -> TrialPlan:
    return TrialPlan(number, {"adapter.r": number}, Config(), total, "")


def one(view: View) -> None:
    view.count(1, 4, BEST)
    view.begin(TRIAL, "trial 2")
    view.step("trial 2", Step(5, 10, 1.0))
    view.evaluated("trial 2", POINT)
    if not view._live:
        view.ended("trial 2", "completed", "eval/accuracy 0.5")


def three(view: View) -> None:
    for number in (3, 4, 5):
        view.begin(trial(number), f"trial {number}")
    for number in (3, 4, 5):
        view.step(f"trial {number}", Step(number, 10, number / 5))


def test_plain_lines_where_there_is_no_terminal() -> None:
    assert printed(one).splitlines() == [
        "trial 2: learning_rate=0.001235, adapter=lora",
        "  epoch 0.125: eval/accuracy 0.5000, eval/loss 0.7500",
        "trial 2: completed, eval/accuracy 0.5",
    ]


@pytest.mark.parametrize(
    ("method", "on_workers", "said"),
    [
        ("full", True, "taken up with the snapshot that its worker kept, if any"),
        ("full", False, "taken up without a snapshot"),
        ("lora", True, "taken up without a snapshot"),
    ],
)
def test_a_training_whose_snapshot_a_worker_may_have_says_so(method: str, on_workers: bool, said: str) -> None:
    config = Config.model_validate({"adapter": {"method": method}, "study": {"snapshots": "always"}})

    def begin(view: View) -> None:
        view.on_workers = on_workers
        view.begin(TrialPlan(0, {}, config, 40, ""), "trial 0", since=0)

    assert printed(begin) == f"trial 0: {said}: as configured\n"


def test_a_value_that_was_cut_is_reported_beside_the_one_asked_for() -> None:
    cut = TrialPlan(0, {"optimizer.warmup_steps": 300}, Config(), 40, "", {"optimizer.warmup_steps": 39})
    assert printed(lambda view: view.begin(cut, "trial 0")) == "trial 0: warmup_steps=300 (39 used)\n"


def test_a_point_that_is_tried_again_names_the_trial_that_was_stopped() -> None:
    lines = printed(lambda view: view.begin(trial(3), "trial 3", again=2)).splitlines()
    assert lines == ["trial 3: trial 2 was stopped, and its point is tried again: r=3"]


def _two_of_four(view: View, clock: list[float]) -> None:
    view.memory = lambda: 3 * 2**29
    view.count(1, 4, BEST)
    view.print_progress()
    view.begin(trial(1), "trial 1")
    clock[0] = 90.0
    view.step("trial 1", Step(10, 10, 2.0))
    view.ended("trial 1", "completed", "")
    view.count(2, 4, BEST)
    view.begin(trial(2), "trial 2")
    view.step("trial 2", Step(5, 10, 1.0))
    view.print_progress()


@pytest.mark.parametrize("terminal", [False, True])
def test_the_time_left_of_the_search_and_the_memory_are_reported(
    monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    clock = [0.0]
    for module in ("view", "time_left"):
        monkeypatch.setattr(f"sweep.study.{module}.time", SimpleNamespace(monotonic=lambda: clock[0]))
    text = printed(lambda view: _two_of_four(view, clock), terminal=terminal)
    # 1.5 trials in 90 s, 1.5 to go; the retraining has 10 steps of 6 s
    assert "about 2 min left" in text and "memory 1.5 GiB" in text
    if not terminal:
        assert "1/4 trials, best eval/accuracy 0.5000 (trial 1): r=16, memory 1.5 GiB" in text


def test_the_memory_of_a_gpu_is_named_so() -> None:
    def act(view: View) -> None:
        view.memory, view.device = lambda: 2**30, "NVIDIA H100"
        view.print_progress()

    assert "device memory 1.0 GiB" in printed(act)


def test_a_study_with_more_trials_than_are_wanted_now() -> None:
    def act(view: View) -> None:
        view.count(4, 2, BEST)
        view.print_progress()

    assert "4 trials (2 wanted)" in printed(act) and "trials 4/2" not in printed(act, terminal=True)


def test_a_terminal_shows_progress_and_the_best_so_far() -> None:
    text = printed(one, terminal=True)
    for part in ("trials 1/4", "best eval/accuracy 0.5000 (trial 1)  r=16", "step 5/10", "epoch 1.0"):
        assert part in text


def test_plain_lines_of_several_trials_name_theirs() -> None:
    def act(view: View) -> None:
        three(view)
        view.evaluated("trial 4", POINT)
        view.ended("trial 3", "pruned", "")
        view.ended("trial 4", "completed", "")
        view.evaluated("trial 5", POINT)  # alone by now, but no longer below its heading
        view.begin(trial(6), "trial 6")
        view.ended("trial 5", "completed", "")
        view.evaluated("trial 6", POINT)

    scores = "eval/accuracy 0.5000, eval/loss 0.7500"
    assert printed(act).splitlines()[3:] == [
        f"trial 4, epoch 0.125: {scores}",
        "trial 3: pruned",
        "trial 4: completed",
        f"trial 5, epoch 0.125: {scores}",
        "trial 6: r=6",
        "trial 5: completed",
        f"trial 6, epoch 0.125: {scores}",
    ]


def test_a_plain_progress_line_tells_of_all_that_run(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("sweep.study.view.time", SimpleNamespace(monotonic=lambda: clock[0]))

    def act(view: View) -> None:
        three(view)
        for moment in (14.0, 16.0, 17.0, 30.0):
            clock[0] = moment
            for number in (3, 4, 5):
                view.step(f"trial {number}", Step(number, 10, number / 5))

    lines = printed(act).splitlines()[3:]
    assert len(lines) == 1
    assert lines[0].startswith("3 running: trial 3 at 30 %; trial 4 at 40 %; trial 5 at 50 %")


def test_a_plain_progress_line_of_one_trial_stands_below_its_heading(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("sweep.study.view.time", SimpleNamespace(monotonic=lambda: clock[0]))

    def act(view: View) -> None:
        view.begin(TRIAL, "trial 2")
        clock[0] = 16.0
        view.step("trial 2", Step(5, 10, 1.0))

    assert printed(act).splitlines()[1].startswith("  step 5/10, epoch 1.0")


def test_a_terminal_has_a_bar_for_each_trial_that_runs() -> None:
    def act(view: View) -> None:
        three(view)
        view.ended("trial 4", "completed", "")
        view.over("trial 4")

    last = printed(act, terminal=True).rpartition("trials 0/0")[2]
    assert "step 3/10" in last and "step 5/10" in last and "step 4/10" not in last
