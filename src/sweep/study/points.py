"""Points of a study: their values, and their places in its order."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count, islice

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, Trial, TrialState

from sweep.config.schema import Scalar
from sweep.config.space import Parameter
from sweep.search.distributions import distribution
from sweep.search.samplers import PLACE
from sweep.study.trial_groups import RETRIED


def begun_points(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials that ended or are running, one for each point: without those that are
    retried."""
    return [trial for trial in trials if trial.state is not TrialState.WAITING and RETRIED not in trial.user_attrs]


def free_place(points: Sequence[FrozenTrial]) -> int:
    """Return the first place that no point has.

    Points of an earlier version, without a stored place, have the first ones.
    """
    taken = {point.user_attrs[PLACE] for point in points if PLACE in point.user_attrs}
    unnamed = sum(PLACE not in point.user_attrs for point in points)
    return next(islice((place for place in count() if place not in taken), unnamed, None))


def suggest(trial: Trial, parameter: Parameter) -> Scalar:
    """Return the trial's value of a parameter."""
    key = parameter.key
    match distribution(parameter):
        case CategoricalDistribution(choices=choices):
            return trial.suggest_categorical(key, choices)
        case IntDistribution(low=low, high=high, log=log, step=step):
            return int(trial.suggest_int(key, low, high, log=log, step=step))
        case FloatDistribution(low=low, high=high, log=log, step=step):
            return float(trial.suggest_float(key, low, high, log=log, step=step))
        case other:
            raise AssertionError(other)
