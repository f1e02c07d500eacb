"""Optuna's pruners by the names that the config gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil, inf
from typing import Any

import optuna
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, TrialState

from sweep.config.custom_code import is_own, load
from sweep.config.schema import StudyConfig
from sweep.config.space import Space
from sweep.search.custom_classes import GuardedPruner
from sweep.search.experimental import experimental_allowed
from sweep.search.promotion import PromotingPruner
from sweep.search.racing import RacingPruner
from sweep.search.ranks import RankedPruner
from sweep.search.samplers import wanted_trials
from sweep.search.stopping_race import FINALISTS
from sweep.search.view import StudyView

_PRUNERS: Mapping[str, type[BasePruner]] = {
    "none": optuna.pruners.NopPruner, "median": optuna.pruners.MedianPruner, "racing": RacingPruner,
    "successive_halving": optuna.pruners.SuccessiveHalvingPruner, "hyperband": optuna.pruners.HyperbandPruner,
    "percentile": optuna.pruners.PercentilePruner, "patient": optuna.pruners.PatientPruner,
}  # fmt: skip

# Optuna's own defaults are for studies of hundreds: the median pruner would stop nothing in a
# study of six, since it waits for five trials. Evaluations are counted from 1, so that two warmup
# steps spare a trial's first evaluation, when the learning rate may still be warming up.
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "median": {"n_startup_trials": 2, "n_warmup_steps": 2},
    "percentile": {"percentile": 25.0, "n_startup_trials": 2, "n_warmup_steps": 2},
    "patient": {"patience": 1},
    "successive_halving": {"min_resource": 1},
}
_LONGEST = "longest_completed"  # a system attribute of the study
# In studies of fewer trials racing completes half of them: early scores say too little of so few
# (`benchmarks/five_knobs.py`).
_FEW = 10
OF_TWO_OBJECTIVES = ("racing", "none")  # the pruners for studies of two objectives


class _Longest:
    """The length in report steps of the longest trial that had completed when `of` was first asked
    after that; None before.

    Optuna's pruners keep what follows from it in memory alone. The storage keeps it here: in a
    later process there are longer trials, and it would judge otherwise than one that had gone on.
    """

    def __init__(self) -> None:
        self._steps: int | None = None
        self._kept = False  # by the storage: a transaction in which it was written may have failed

    def of(self, study: optuna.Study) -> int | None:
        if self._kept:
            return self._steps
        known = study._storage.get_study_system_attrs(study._study_id).get(_LONGEST)
        self._kept = known is not None
        if self._steps is None:
            self._steps = known or _longest_completed(study)
        if known is None and self._steps is not None:
            study._storage.set_study_system_attr(study._study_id, _LONGEST, self._steps)
        return self._steps


def _longest_completed(study: optuna.Study) -> int | None:
    completed = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return max((trial.last_step for trial in completed if trial.last_step is not None), default=None)


class _SuccessiveHalving(optuna.pruners.SuccessiveHalvingPruner):
    """Optuna's successive halving, whose first rung is the same in all processes."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._longest = _Longest() if self._min_resource is None else None

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        if self._longest is not None and (steps := self._longest.of(study)) is not None:
            self._min_resource = max(steps // 100, 1)  # as Optuna has it
        return super().prune(study, trial)


class _Hyperband(optuna.pruners.HyperbandPruner):
    """Optuna's Hyperband on the trials that the given study shows, with the same brackets in all
    processes. Optuna's own reads the trials of the storage, retried and infeasible ones among
    them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._longest = _Longest() if self._max_resource == "auto" else None

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        if self._longest is not None and (steps := self._longest.of(study)) is not None:
            self._max_resource = steps + 1  # as Optuna has it
        return super().prune(study, trial)

    def _create_bracket_study(self, study: optuna.Study, bracket_id: int) -> optuna.Study:
        return _Bracket(study, lambda trial: self._get_bracket_id(study, trial) == bracket_id)


class _Bracket(StudyView):
    """The study `source` with the trials of one bracket."""

    def __init__(self, source: optuna.Study, inside: Callable[[FrozenTrial], bool]) -> None:
        super().__init__(source)
        self._inside = inside

    def shown(self, *, use_cache: bool) -> list[FrozenTrial]:
        return [trial for trial in self.known(use_cache=use_cache) if self._inside(trial)]


_OURS: Mapping[str, type[BasePruner]] = {"successive_halving": _SuccessiveHalving, "hyperband": _Hyperband}


def pruner_class(name: str) -> Callable[..., BasePruner]:
    """Return the pruner's class, or the class or function at a dotted path.

    Raises OwnCodeError where there is nothing at that path.
    """
    return load(name) if is_own(name) else _PRUNERS[name]


def pruner(study: StudyConfig, trials: int | None = None) -> BasePruner:
    """Return the pruner of a study.

    `trials` are compared with each other; None stands for all of the study. Of fewer than ten
    trials racing keeps at least half, unless `study.pruner_options` sets `finalists`. Raises
    UserError where the user's own pruner cannot be made.
    """
    options = _options(study, trials)
    if study.pruner == "none":
        return optuna.pruners.NopPruner()
    if study.pruner == "patient":
        options["wrapped_pruner"] = optuna.pruners.MedianPruner(**_DEFAULTS["median"])
    with experimental_allowed():
        if is_own(study.pruner):
            return GuardedPruner.made(study.pruner, options, study.seed)
        made = _OURS.get(study.pruner, pruner_class(study.pruner))(**options)
        return RankedPruner(made) if study.second else made


def promotes(study: StudyConfig) -> bool:
    """Return whether the study's pruner pauses trials and promotes them. With two objectives a
    trial that is behind is stopped for good: all of the Pareto set are to complete."""
    return study.second is None and not is_own(study.pruner) and issubclass(_PRUNERS[study.pruner], PromotingPruner)


def trials_of_each(study: StudyConfig, space: Space) -> int:
    """Return how many trials the pruner compares with each other.

    These are all of the study, or those of one choice of `study.compare_by`.
    """
    return -(-wanted_trials(study, space) // max(len(space.choices(study.compare_by)), 1))


def never_stopped(study: StudyConfig, trials: int | None = None) -> float:
    """Return the most trials of which the pruner stops none, whatever they score.

    It is infinite without a pruner. `trials` is as in `pruner`, and the options are taken to be
    right.
    """
    options = _options(study, trials)
    match study.pruner:
        case "none":
            return inf
        case "racing":
            return RacingPruner(**options).finalists if promotes(study) else options.get("finalists") or FINALISTS
        case "median" | "percentile":
            # These compare a trial with those that completed, and need at least one.
            return float(max(1, options["n_startup_trials"], options.get("n_min_trials", 1)))
        case "patient":
            return int(_DEFAULTS["median"]["n_startup_trials"])
        case "successive_halving" | "hyperband":
            # With bootstrap_count they stop every trial that reaches a rung before that many have.
            return 0 if options.get("bootstrap_count", 0) > 0 else 1
        case _:  # the user's own pruner may stop any trial
            return 0


def _options(study: StudyConfig, trials: int | None) -> dict[str, Any]:
    options: dict[str, Any] = {**_DEFAULTS.get(study.pruner, {})}
    trials = study.n_trials if trials is None else trials
    if study.pruner == "racing":
        options["trials"] = trials
        if trials < _FEW:
            options["finalists"] = max(FINALISTS, ceil(trials / 2))
    return {**options, **study.pruner_options}
