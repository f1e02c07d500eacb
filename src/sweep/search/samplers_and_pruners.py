"""Optuna's samplers and pruners by the names the config gives them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import ceil, inf
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from sweep.config.custom_code import OwnCodeError, is_own, load, takes_seed, told
from sweep.config.schema import SamplerName, StudyConfig
from sweep.config.space import Choices, Parameter, Space
from sweep.errors import UserError
from sweep.provenance import Fingerprint
from sweep.search.guard import PRUNER, SAMPLER, GuardedPruner, GuardedSampler
from sweep.search.racing import FINALISTS, RacingPruner

_SAMPLERS: Mapping[str, str] = {
    "tpe": "TPESampler", "gp": "GPSampler", "cmaes": "CmaEsSampler", "qmc": "QMCSampler", "random": "RandomSampler",
    "grid": "GridSampler",
}  # fmt: skip
_PRUNERS: Mapping[str, type[BasePruner]] = {
    "none": optuna.pruners.NopPruner, "median": optuna.pruners.MedianPruner, "racing": RacingPruner,
    "successive_halving": optuna.pruners.SuccessiveHalvingPruner, "hyperband": optuna.pruners.HyperbandPruner,
    "percentile": optuna.pruners.PercentilePruner, "patient": optuna.pruners.PatientPruner,
}  # fmt: skip

# Optuna's own defaults are for studies of hundreds: ten random points before TPE starts and five trials before the
# median pruner does would leave a study of six neither searched nor pruned. Evaluations are counted from 1, so two
# warmup steps spare a trial's first evaluation, when the learning rate may still be warming up. With its constant liar TPE
# keeps away from the points of trials that still run; with none running it changes nothing. The Gaussian process would warn of
# each conditional key at each ask, and CMA-ES of each choice; the plan says it once.
_SAMPLER_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "tpe": {"n_startup_trials": 4, "constant_liar": True},
    "gp": {"n_startup_trials": 4, "warn_independent_sampling": False},
    "cmaes": {"warn_independent_sampling": False},
}
_PRUNER_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "median": {"n_startup_trials": 2, "n_warmup_steps": 2},
    "percentile": {"percentile": 25.0, "n_startup_trials": 2, "n_warmup_steps": 2},
    "patient": {"patience": 1},
    "successive_halving": {"min_resource": 1},
}
# On trials of 3 to 6 epochs that searched their warmup too (`benchmarks/five_knobs.py`), racing that kept half of seven to nine
# trials missed the best score by more than one validation row in 0 to 5 % of the draws, and racing that kept three in 12 to 15 %.
_FEW = 10
# A trial's user attribute: how many points the study had asked for before this one, when it first asked for it.
PLACE = "place"

# These walk one fixed sequence; the others draw afresh at each ask.
_SEQUENCES: tuple[SamplerName, ...] = ("qmc", "grid")


class _Grid(optuna.samplers.GridSampler):
    """Optuna's grid, except that the caller says which point is next: Optuna goes by the trial's number, which shifts when a
    trial is tried again. It also leaves out the call that ends `Study.optimize` after the last point: the loop here is the
    project's own."""

    def __init__(self, place: int, search_space: Mapping[str, Sequence[Any]], seed: int) -> None:
        super().__init__(search_space, seed=seed)
        self._place = place

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        if trial.system_attrs.get("fixed_params"):
            return
        left = sorted(self._get_unvisited_grid_ids(study)) or list(range(len(self._all_grids)))
        chosen = self._place if self._place in left else left[0]
        study._storage.set_trial_system_attr(trial._trial_id, "search_space", self._search_space)
        study._storage.set_trial_system_attr(trial._trial_id, "grid_id", chosen)

    def point(self, place: int) -> dict[str, Any]:
        return dict(zip(self._param_names, self._all_grids[place], strict=True))

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        pass


class _Sequence(optuna.samplers.QMCSampler):
    """Whose place in its sequence is told, and whose axes are those of the earliest trial, if it still runs too.

    Optuna's own counts a place for each trial that is asked for, one that is tried again too, and as long as no trial
    has ended it takes the axes from all that run: either way, which points come next would depend on what was stopped,
    or ran at once.
    """

    def __init__(self, place: int, **options: Any) -> None:
        super().__init__(**options)
        self._place = place

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
        others = study._get_trials(deepcopy=False, states=states)
        asked = [other for other in others if other.number != trial.number and other.distributions]
        return dict(min(asked, key=_asked_at).distributions) if asked else {}

    def _find_sample_id(self, study: optuna.Study, search_space: dict[str, BaseDistribution]) -> int:  # noqa: ARG002
        return self._place


def _asked_at(trial: FrozenTrial) -> int:
    """A trial of an earlier version has no place, and was asked for by its number."""
    return int(trial.user_attrs.get(PLACE, trial.number))


def sampler_class(name: str) -> Callable[..., BaseSampler]:
    """Of Optuna, or the class or function at a dotted path. Raises OwnCodeError where there is none."""
    if is_own(name):
        return load(name)
    found: Callable[..., BaseSampler] = getattr(optuna.samplers, _SAMPLERS[name])
    return found


def pruner_class(name: str) -> Callable[..., BasePruner]:
    """As `sampler_class`."""
    return load(name) if is_own(name) else _PRUNERS[name]


def sampler(study: StudyConfig, space: Space, asked: int, own: int | None = None) -> BaseSampler:
    """The sampler for the ask that follows `asked` earlier ones, `own` of them of the same method in a group run.

    A sampler with a seed that is made again on resuming would repeat its first points. Here the seed of each ask
    follows from the study's seed and the number of points asked for before, so that a study interrupted and resumed
    asks for the same points as one that ran through, and trials that run at once do not share a draw.
    """
    options: dict[str, Any] = {**_SAMPLER_DEFAULTS.get(study.sampler, {}), **study.sampler_options}
    drawn = int(Fingerprint().add(str(study.seed)).add(str(asked)).hex()[:8], 16)
    seed = study.seed if study.sampler in _SEQUENCES else drawn
    with _no_warning_of_novelty():
        if is_own(study.sampler):
            own_sampler = _made(SAMPLER, study.sampler, options, drawn, "optuna.samplers.BaseSampler")
            return GuardedSampler(own_sampler, study.sampler)
        if study.sampler == "qmc":
            # For what the sequence does not cover: the first point, conditional keys and choices.
            options.setdefault("independent_sampler", optuna.samplers.RandomSampler(seed=drawn))
            return _Sequence(max(0, (asked if own is None else own) - 1), seed=seed, **options)
        if study.sampler == "grid":
            grid = {parameter.key: parameter.domain.grid() or () for parameter in space}
            return _Grid(asked, grid, seed=seed, **options)
        return sampler_class(study.sampler)(seed=seed, **options)


def _made(key: str, path: str, options: Mapping[str, Any], seed: int, kind: str) -> Any:
    """What the class or function at `path` gives. Raises UserError of `key` where it raises, or gives what has no class of the name
    `kind` above its own."""
    try:
        owner = load(path)
    except OwnCodeError as error:
        raise UserError.of(key, str(error)) from None
    with told(key, path, "when it was called"):
        made = owner(**{**options, "seed": seed} if takes_seed(owner) else options)
    if kind.rpartition(".")[2] not in (base.__name__ for base in type(made).__mro__):
        raise UserError.of(key, f"is {path}, which gives {type(made).__name__}, but must give an {kind}")
    return made


def not_learnt(study: StudyConfig, space: Space) -> Iterator[str]:
    """A note of the searched keys that the sampler draws at random, whatever trials have shown."""
    conditional = [parameter.key for parameter in space if parameter.when]
    chosen = [parameter.key for parameter in space if isinstance(parameter.domain, Choices)]
    keys = {"gp": conditional, "cmaes": [*dict.fromkeys([*chosen, *conditional])]}.get(study.sampler, [])
    if keys:
        what = "choices and keys with conditions" if study.sampler == "cmaes" else "keys with conditions"
        yield f"study.sampler is {study.sampler}, which draws {what} at random: {', '.join(keys)}; tpe learns them too"


def grid_point(study: StudyConfig, space: Space, trial: FrozenTrial) -> dict[str, Any] | None:
    """The whole point that the grid has for a trial, though the trial may have but some of its values; None for trials of
    other samplers."""
    if study.sampler != "grid":
        return None
    made, place = sampler(study, space, 0), trial.system_attrs.get("grid_id")
    return made.point(place) if isinstance(made, _Grid) and place is not None else None


def distribution(parameter: Parameter) -> BaseDistribution:
    match parameter.domain:
        case Choices(values=values):
            return CategoricalDistribution(values)
        case domain if domain.whole:
            return IntDistribution(int(domain.low), int(domain.high), log=domain.log, step=int(domain.step or 1))
        case domain:
            return FloatDistribution(float(domain.low), float(domain.high), log=domain.log, step=domain.step)


def trials_of_each(study: StudyConfig, space: Space) -> int:
    """How many trials the pruner compares with each other: those of one choice in a group run."""
    choices = space.methods(study.compare_by) if study.compare_by else ()
    return -(-study.n_trials // max(len(choices), 1))


def _pruner_options(study: StudyConfig, trials: int | None) -> dict[str, Any]:
    options: dict[str, Any] = {**_PRUNER_DEFAULTS.get(study.pruner, {})}
    trials = study.n_trials if trials is None else trials
    if study.pruner == "racing" and trials < _FEW:
        options["finalists"] = max(FINALISTS, ceil(trials / 2))
    return {**options, **study.pruner_options}


def pruner(study: StudyConfig, trials: int | None = None) -> BasePruner:
    """`trials` is how many are compared with each other; None for all of the study. Of fewer than ten, racing keeps at least
    half, unless `study.pruner_options` has other `finalists`."""
    options = _pruner_options(study, trials)
    if study.pruner == "none":
        return optuna.pruners.NopPruner()
    if study.pruner == "patient":
        options["wrapped_pruner"] = optuna.pruners.MedianPruner(**_PRUNER_DEFAULTS["median"])
    with _no_warning_of_novelty():
        if is_own(study.pruner):
            own_pruner = _made(PRUNER, study.pruner, options, study.seed, "optuna.pruners.BasePruner")
            return GuardedPruner(own_pruner, study.pruner)
        return pruner_class(study.pruner)(**options)


def never_stopped(study: StudyConfig, trials: int | None = None) -> float:
    """The most trials of which the pruner stops none, whatever they score; infinite without a pruner. In a group run, of each
    method's, which has so many `trials`. Options are taken to be right."""
    options = _pruner_options(study, trials)
    match study.pruner:
        case "none":
            return inf
        case "racing":
            return RacingPruner(**options).finalists
        case "median" | "percentile":
            # They compare with trials that completed, one at least.
            return float(max(1, options["n_startup_trials"], options.get("n_min_trials", 1)))
        case "patient":
            return int(_PRUNER_DEFAULTS["median"]["n_startup_trials"])
        case "successive_halving" | "hyperband":
            # With it they stop all trials that come to a rung before so many have.
            return 0 if options.get("bootstrap_count", 0) > 0 else 1
        case _:  # of the user's own: it may stop any
            return 0


@contextmanager
def _no_warning_of_novelty() -> Iterator[None]:
    """Optuna calls samplers and pruners experimental that have been there for years."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield
