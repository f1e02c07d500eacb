"""Optuna's samplers by the names that the config gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from sweep.config.custom_code import is_own, load
from sweep.config.schema import SamplerName, StudyConfig
from sweep.config.space import Space
from sweep.provenance import Fingerprint
from sweep.search.constraints import LearningSampler, Lesson
from sweep.search.custom_classes import GuardedSampler
from sweep.search.experimental import experimental_allowed
from sweep.search.scoreless import ScorelessSampler

_SAMPLERS: Mapping[str, str] = {
    "tpe": "TPESampler", "gp": "GPSampler", "cmaes": "CmaEsSampler", "qmc": "QMCSampler", "random": "RandomSampler",
    "grid": "GridSampler",
}  # fmt: skip

# Optuna's own defaults are for studies of hundreds: ten random points before TPE starts would
# leave a study of six without any search. With its constant liar TPE keeps away from the points of
# trials that still run; with none running it changes nothing. The Gaussian process would warn of
# each conditional key at each ask, and CMA-ES of each choice; the plan says it once.
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "tpe": {"n_startup_trials": 4, "constant_liar": True},
    "gp": {"n_startup_trials": 4, "warn_independent_sampling": False},
    "cmaes": {"warn_independent_sampling": False},
}
OF_ONE_OBJECTIVE = ("cmaes",)  # Optuna's CMA-ES refuses studies of two
# A trial's user attribute: the number of points that the study had asked for when it first asked
# for this one.
PLACE = "place"

# How failures teach the samplers that learn; any other name is one of the user's own.
_LESSONS: Mapping[str, Lesson | None] = {
    "tpe": "constraints", "gp": "constraints", "cmaes": "scores", "qmc": None, "random": None, "grid": None,
}  # fmt: skip

_ASKED_FOR = tuple(state for state in TrialState if state is not TrialState.WAITING)

# These follow one fixed sequence; the others draw afresh at each ask.
_SEQUENCES: tuple[SamplerName, ...] = ("qmc", "grid")


class _Grid(optuna.samplers.GridSampler):
    """Optuna's grid, whose next point is given by the caller.

    Optuna takes the point from the trial's number, which shifts when a trial is tried again.
    Optuna also ends `Study.optimize` after the last point; the project has a loop of its own, so
    that call is left out.
    """

    def __init__(self, place: int, search_space: Mapping[str, Sequence[Any]], seed: int) -> None:
        super().__init__(search_space, seed=seed)
        self._place = place

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        known = trial.system_attrs
        if known.get("fixed_params") or "grid_id" in known:  # a trial that is opened again has its point
            return
        left = sorted(self._get_unvisited_grid_ids(study)) or list(range(len(self._all_grids)))
        chosen = self._place if self._place in left else left[0]
        study._storage.set_trial_system_attr(trial._trial_id, "search_space", self._search_space)
        study._storage.set_trial_system_attr(trial._trial_id, "grid_id", chosen)

    def point(self, place: int) -> dict[str, Any]:
        """Return the values of one point of the grid by their keys."""
        return dict(zip(self._param_names, self._all_grids[place], strict=True))

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        pass


class _Sequence(optuna.samplers.QMCSampler):
    """Optuna's quasi-random sequence at a given place, along the earliest trial's axes.

    Optuna counts a place for each trial that is asked for, even for one that is tried again. It
    takes the axes of all running trials until a trial has ended, and never those of a trial that
    failed. Either way the next points would depend on which trials were stopped, or ran at once.
    """

    def __init__(self, place: int, **options: Any) -> None:
        super().__init__(**options)
        self._place = place

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        others = study._get_trials(deepcopy=False, states=_ASKED_FOR)
        asked = [other for other in others if other.number != trial.number and other.distributions]
        # Of a point that was tried again the last trial counts: the first may lack values.
        first = min(asked, key=lambda other: (_place_of(other), -other.number), default=None)
        return {} if first is None else dict(first.distributions)

    def _find_sample_id(self, study: optuna.Study, search_space: dict[str, BaseDistribution]) -> int:  # noqa: ARG002
        return self._place


def _place_of(trial: FrozenTrial) -> int:
    """Return the trial's place.

    A trial of an earlier version has none, and was asked for in the order of its number.
    """
    return int(trial.user_attrs.get(PLACE, trial.number))


def sampler_class(name: str) -> Callable[..., BaseSampler]:
    """Return Optuna's class, or the class or function at a dotted path.

    Raises OwnCodeError where there is nothing at that path.
    """
    if is_own(name):
        return load(name)
    found: Callable[..., BaseSampler] = getattr(optuna.samplers, _SAMPLERS[name])
    return found


def sampler(study: StudyConfig, space: Space, asked: int, own: int | None = None) -> BaseSampler:
    """Return the sampler for the ask that follows `asked` earlier ones; one that learns does so
    from failures too.

    The arguments and errors are those of `plain_sampler`.
    """
    made, lesson = plain_sampler(study, space, asked, own), _LESSONS.get(study.sampler, "both")
    found = made if lesson is None else LearningSampler(made, lesson)
    return ScorelessSampler(found) if study.second else found


def plain_sampler(study: StudyConfig, space: Space, asked: int, own: int | None = None) -> BaseSampler:
    """Return Optuna's sampler, or the user's own, for the ask that follows `asked` earlier ones.

    `own` counts those with the same choice of `study.compare_by`; it is None where nothing is
    compared. A seeded sampler that is made again on resuming would repeat its first points.
    Therefore the seed of each ask follows from the study's seed and from the number of points
    asked for before: a study that was interrupted asks for the same points as one that was not,
    and trials that run at once do not share a draw. Raises UserError where the user's own sampler
    cannot be made.
    """
    options: dict[str, Any] = {**_DEFAULTS.get(study.sampler, {}), **study.sampler_options}
    drawn = int(Fingerprint().add(str(study.seed)).add(str(asked)).hex()[:8], 16)
    seed = study.seed if study.sampler in _SEQUENCES else drawn
    with experimental_allowed():
        if is_own(study.sampler):
            return GuardedSampler.made(study.sampler, options, drawn)
        if study.sampler == "qmc":
            # For what the sequence does not cover: the first point, conditional keys and choices.
            options.setdefault("independent_sampler", optuna.samplers.RandomSampler(seed=drawn))
            return _Sequence(max(0, (asked if own is None else own) - 1), seed=seed, **options)
        if study.sampler == "grid":
            grid = {parameter.key: parameter.domain.grid() or () for parameter in space}
            return _Grid(asked, grid, seed=seed, **options)
        return sampler_class(study.sampler)(seed=seed, **options)


def wanted_trials(study: StudyConfig, space: Space) -> int:
    """Return `study.n_trials`, or the number of points of a smaller grid."""
    size = space.grid_size() if study.sampler == "grid" else None
    return study.n_trials if size is None else min(size, study.n_trials)


def grid_point(study: StudyConfig, space: Space, trial: FrozenTrial) -> dict[str, Any] | None:
    """Return all values of a trial's grid point, even those that it has not asked for yet.

    None where the study has another sampler, or the trial no point of the grid.
    """
    if study.sampler != "grid":
        return None
    made, place = plain_sampler(study, space, 0), trial.system_attrs.get("grid_id")
    return made.point(place) if isinstance(made, _Grid) and place is not None else None
