"""The seam between a study and whatever trains its trials."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from sweep.records import EvalPoint, Outcome, Step, TrialPlan, Verdict


class Engine(Protocol):
    """Pulls the next trial whenever it has a free slot, and pushes what happens.

    `on_step` comes after every optimizer step, `on_eval` after every evaluation; a verdict other than CONTINUE ends
    that trial before its next step; a step 0 only asks for a verdict, where much is computed ahead of the first step.
    `on_end` comes once for each trial pulled, in any order.
    """

    def run(
        self,
        next_trial: Callable[[], TrialPlan | None],
        on_step: Callable[[TrialPlan, Step], Verdict],
        on_eval: Callable[[TrialPlan, EvalPoint], Verdict],
        on_end: Callable[[TrialPlan, Outcome], None],
    ) -> None: ...
