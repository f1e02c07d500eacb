from __future__ import annotations

import io

from rich.console import Console

from sweep.config.schema import Config, StudyConfig
from sweep.records import Completed, Cost, EvalPoint, Step, TrialPlan, TrialRecord
from sweep.view import View

POINT = EvalPoint(1, 5, 1.0, {"eval/accuracy": 0.5, "eval/loss": 0.75})
TRIAL = TrialPlan(2, {"optimizer.learning_rate": 0.00123456, "adapter": "lora"}, Config(), 10, "")
BEST = TrialRecord(1, {}, Completed(POINT, (POINT,), Cost()), "", 10, "", "")


def shown(*, terminal: bool) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=150, height=20, highlight=False)
    with View(StudyConfig(study_name="toy"), console) as view:
        view.count(1, 4, BEST, 0.5)
        view.begin(TRIAL, "trial 2")
        view.step(Step(5, 10, 1.0))
        view.evaluated(POINT)
        view.ended("trial 2", "completed", "eval/accuracy 0.5")
        if view._live:
            view._live.refresh()
    return out.getvalue()


def test_plain_lines_where_there_is_no_terminal() -> None:
    assert shown(terminal=False).splitlines() == [
        "trial 2: learning_rate=0.001235, adapter=lora",
        "  epoch 1.0: eval/accuracy 0.5000, eval/loss 0.7500",
        "trial 2: completed, eval/accuracy 0.5",
    ]


def test_a_terminal_shows_progress_and_the_best_so_far() -> None:
    text = shown(terminal=True)
    for part in ("trials 1/4", "best eval/accuracy 0.5000 (trial 1)", "step 5/10", "epoch 1.0"):
        assert part in text
