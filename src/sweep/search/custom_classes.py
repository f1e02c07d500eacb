"""The user's own samplers and pruners. Their errors and wrong values become a UserError."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from sweep.config.custom_code import OwnCodeError, as_user_error, load, takes_seed
from sweep.errors import UserError

SAMPLER, PRUNER = "study.sampler", "study.pruner"


class GuardedSampler(BaseSampler):
    """The sampler `inner`, which the user names by the dotted `path`.

    Raises UserError where `inner` raises an error, and where it gives a value outside the search
    space: Optuna would accept a relative value unseen, and draw another one in place of an
    independent value.
    """

    def __init__(self, inner: BaseSampler, path: str) -> None:
        self._inner, self._path = inner, path

    @classmethod
    def made(cls, path: str, options: Mapping[str, Any], seed: int) -> GuardedSampler:
        """Return the sampler that the class or function at `path` makes.

        Raises UserError where it makes none.
        """
        return cls(_made(SAMPLER, path, options, seed, BaseSampler), path)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        with as_user_error(SAMPLER, self._path, "in infer_relative_search_space"):
            return self._inner.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        with as_user_error(SAMPLER, self._path, "in sample_relative"):
            values = dict(self._inner.sample_relative(study, trial, search_space))
        for key, value in values.items():
            if key in search_space:
                self._check(key, value, search_space[key])
        return values

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        with as_user_error(SAMPLER, self._path, "in sample_independent"):
            value = self._inner.sample_independent(study, trial, param_name, param_distribution)
        self._check(param_name, value, param_distribution)
        return value

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        with as_user_error(SAMPLER, self._path, "in before_trial"):
            self._inner.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        with as_user_error(SAMPLER, self._path, "in after_trial"):
            self._inner.after_trial(study, trial, state, values)

    def _check(self, key: str, value: Any, allowed: BaseDistribution) -> None:
        try:
            right = allowed._contains(allowed.to_internal_repr(value))
        except (ValueError, TypeError):
            right = False
        if not right:
            raise UserError.of(
                SAMPLER, f"is {self._path}, which gave {value!r} for {key}, but that must be of {allowed}"
            )


class GuardedPruner(BasePruner):
    """The pruner `inner`, which the user names by the dotted `path`.

    Raises UserError where `inner` raises an error.
    """

    def __init__(self, inner: BasePruner, path: str) -> None:
        self._inner, self._path = inner, path

    @classmethod
    def made(cls, path: str, options: Mapping[str, Any], seed: int) -> GuardedPruner:
        """Return the pruner that the class or function at `path` makes.

        Raises UserError where it makes none.
        """
        return cls(_made(PRUNER, path, options, seed, BasePruner), path)

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        with as_user_error(PRUNER, self._path, "in prune"):
            return bool(self._inner.prune(study, trial))


def _made(key: str, path: str, options: Mapping[str, Any], seed: int, kind: type) -> Any:
    """Return what the class or function at `path` makes of `options`.

    The seed is given where it takes one. Raises UserError of `key` where it raises an error, or
    makes something that has no base class of the name of `kind`.
    """
    try:
        owner = load(path)
    except OwnCodeError as error:
        raise UserError.of(key, str(error)) from None
    with as_user_error(key, path, "when it was called"):
        made = owner(**{**options, "seed": seed} if takes_seed(owner) else options)
    if kind.__name__ not in (base.__name__ for base in type(made).__mro__):
        package = kind.__module__.split("._")[0]
        rule = f"is {path}, which gives {type(made).__name__}, but must give an {package}.{kind.__name__}"
        raise UserError.of(key, rule)
    return made
