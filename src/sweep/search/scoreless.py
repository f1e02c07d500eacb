"""A sampler of two objectives, which sees no scores of report steps.

Optuna's TPE ranks pruned trials by these scores, and cannot where there are two objectives.
Without them it takes pruned trials for worse than those that completed.
"""

from __future__ import annotations

import copy

from optuna.study import Study
from optuna.trial import FrozenTrial

from sweep.search.view import StudyView, ViewingSampler


class ScorelessSampler(ViewingSampler):
    """The sampler `inner` on a study whose trials have no scores of report steps."""

    def view(self, study: Study) -> Study:
        return _Scoreless(study)


class _Scoreless(StudyView):
    def shown(self, *, use_cache: bool) -> list[FrozenTrial]:
        return [_without_scores(trial) for trial in self.known(use_cache=use_cache)]


def _without_scores(trial: FrozenTrial) -> FrozenTrial:
    found = copy.copy(trial)
    found.intermediate_values = {}
    return found
