"""Rules for `study.sampler_options` and `study.pruner_options`, the arguments of Optuna's classes.

A config holds numbers, texts, lists and mappings. The kinds of arguments are read from the
signatures of Optuna's classes. Values that Optuna accepts without an error but misreads have their
range named here. Other values are tried out: points are drawn and scores are judged in a study in
memory.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection

from sweep.config.custom_code import OwnCodeError, argument_rule, is_own, load, takes_seed
from sweep.config.domains import Choices
from sweep.config.schema import StudyConfig
from sweep.config.space import Space
from sweep.errors import UserError, closest, first_line
from sweep.search.distributions import distribution
from sweep.search.pruners import pruner, pruner_class
from sweep.search.ranks import report
from sweep.search.samplers import sampler, sampler_class

SAMPLER, PRUNER = "study.sampler_options", "study.pruner_options"
_KINDS: Mapping[str, tuple[tuple[type, ...], str]] = {
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "bool": ((bool,), "true or false"),
    "str": ((str,), "a text"),
    "dict[str, Any]": ((dict,), "a mapping of config keys to values"),
    "None": ((type(None),), "null"),
}
_OURS = ("seed", "search_space", "wrapped_pruner", "trials")  # arguments that sweep sets itself
_LEAST = {"n_ei_candidates": 1, "popsize": 2, "min_resource": 1, "max_resource": 1, "interval_steps": 1, "n_min_trials": 1,
          "finalists": 1}  # fmt: skip
# Points that are drawn at once are held in memory; a power of the reduction factor is computed to
# the last digit.
_MOST = {"n_ei_candidates": 10_000, "popsize": 10_000, "min_early_stopping_rate": 100}
_MOST_OF_OTHERS = 1_000_000
# Optuna has moved the restarts of CMA-ES to another package; TPE always considers the prior.
_WITHOUT_EFFECT = ("restart_strategy", "inc_popsize", "consider_prior")
_ABOVE_ZERO = ("sigma0",)
_DRAWN = 8  # points; more than CMA-ES has in a generation with few keys
_STEPS = (1, 2, 3, 4, 8, 16)


def option_faults(study: StudyConfig) -> Iterator[tuple[str, str]]:
    """Yield key and rule of each option of a wrong name, kind or range.

    Where there are none, the class is made with the options, and its own errors are the faults.
    """
    if is_own(study.sampler):
        yield from _of_own(SAMPLER, study.sampler, study.sampler_options, lambda: sampler(study, Space(), 0))
    else:
        wrong = [*_of_class(SAMPLER, study.sampler_options, sampler_class(study.sampler))]
        yield from wrong or _refused(SAMPLER, lambda: sampler(study, Space(), 0))
    if is_own(study.pruner):
        yield from _of_own(PRUNER, study.pruner, study.pruner_options, lambda: pruner(study))
    elif study.pruner == "none" and study.pruner_options:
        yield PRUNER, "is set, but study.pruner is none"
    elif study.pruner != "none":
        wrong = [*_of_class(PRUNER, study.pruner_options, pruner_class(study.pruner)), *_of_hyperband(study)]
        yield from wrong or _refused(PRUNER, lambda: pruner(study))


def trial_faults(study: StudyConfig, space: Space) -> Iterator[tuple[str, str]]:
    """Yield the errors that the sampler and the pruner raise once they are used.

    Nothing is tried where `option_faults` finds a fault.
    """
    if any(option_faults(study)):
        return
    if study.sampler_options or is_own(study.sampler):
        wrong = [] if is_own(study.sampler) else [*_start(study, space)]
        yield from wrong or _refused(SAMPLER, lambda: _draw(study, space))
    if study.pruner_options or is_own(study.pruner):
        yield from _refused(PRUNER, lambda: _judge(study))


def _of_class(path: str, given: Mapping[str, object], owner: Callable[..., object]) -> Iterator[tuple[str, str]]:
    parameters = inspect.signature(owner).parameters
    allowed = [name for name in parameters if name not in _OURS]
    for name, value in given.items():
        if name not in allowed:
            rule = (
                f"is no argument of {owner.__name__}{closest(name, allowed)}; there are: {', '.join(allowed) or 'none'}"
            )
        elif name in _WITHOUT_EFFECT:
            rule = f"is set, but has no effect in Optuna {optuna.__version__}; leave it out"
        else:
            rule = _of_kind(parameters[name], value) or _of_range(name, value)
        if rule:
            yield f"{path}.{name}", rule


def _of_own(path: str, name: str, given: Mapping[str, object], use: Callable[[], object]) -> Iterator[tuple[str, str]]:
    """Yield the faults of the user's own class or function, and of its arguments."""
    key = path.removesuffix("_options")
    try:
        owner = load(name)
        wrong: list[tuple[str, str]] = []
        seed = {"seed": 0} if takes_seed(owner) else {}
        if "seed" in given:
            wrong.append(("seed", "is given by sweep, from study.seed; leave it out"))
        if not wrong and (rule := argument_rule(name, owner, {**given, **seed})):
            wrong.append(rule)
    except OwnCodeError as error:
        yield key, str(error)
        return
    if not wrong:
        yield from _refused(key, use)
    for option, rule_of_it in wrong:
        yield (f"{path}.{option}" if option else path), rule_of_it


def _of_kind(parameter: inspect.Parameter, value: object) -> str:
    """Return the rule that the value breaks, or an empty text."""
    kinds = [
        _KINDS[part]
        for part in inspect.formatannotation(parameter.annotation).strip("'").split(" | ")
        if part in _KINDS
    ]
    if all(types == (type(None),) for types, _ in kinds):
        return "is a Python object in Optuna, which a config cannot hold; leave it out"
    if any(isinstance(value, types) and (bool in types or not isinstance(value, bool)) for types, _ in kinds):
        return ""
    return f"is {value!r}, but must be {' or '.join(said for _, said in kinds)}"


def _of_range(name: str, value: object) -> str:
    """Return the rule that a number breaks, or an empty text."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    if name in _ABOVE_ZERO and value <= 0:
        return f"is {value}, but must be above 0"
    if isinstance(value, int) and value < (least := _LEAST.get(name, 0)):
        return f"is {value}, but must be at least {least}"
    if isinstance(value, int) and value > (most := _MOST.get(name, _MOST_OF_OTHERS)):
        return f"is {value}, but must be at most {most}"
    return ""


def _of_hyperband(study: StudyConfig) -> Iterator[tuple[str, str]]:
    """Yield a fault for values that would divide by zero at the first score."""
    if study.pruner != "hyperband":
        return
    if isinstance(factor := study.pruner_options.get("reduction_factor"), int) and factor < 2:
        yield f"{PRUNER}.reduction_factor", f"is {factor}, but must be at least 2"
    least, most = study.pruner_options.get("min_resource", 1), study.pruner_options.get("max_resource")
    if isinstance(least, int) and isinstance(most, int) and most < least:
        yield f"{PRUNER}.max_resource", f"is {most}, but must be at least min_resource, which is {least}"


def _start(study: StudyConfig, space: Space) -> Iterator[tuple[str, str]]:
    """Yield the faults of `x0`, the point at which CMA-ES starts.

    It must have a value for each searched range. Where nothing is searched, as by the command of a
    single trial, no point is asked for.
    """
    start = study.sampler_options.get("x0")
    if start is None or not len(space):
        return
    ranges = [parameter.key for parameter in space if not isinstance(parameter.domain, Choices)]
    for key, value in start.items():
        if key not in ranges:
            yield f"{SAMPLER}.x0", f"names {key}, which is no searched range; there are: {', '.join(ranges) or 'none'}"
        elif not space[key].domain.contains(value):
            yield f"{SAMPLER}.x0", f"has {key} = {value!r}, but the search space allows {space[key].domain}"
    if missing := [key for key in ranges if key not in start]:
        yield f"{SAMPLER}.x0", f"lacks {', '.join(missing)}: it must have each searched range"


def _draw(study: StudyConfig, space: Space) -> None:
    """Draw points, the first at random.

    The Gaussian process draws only that one: a second would import torch.
    """
    options = {**study.sampler_options, **({"n_startup_trials": 1} if study.sampler in ("tpe", "gp", "cmaes") else {})}
    soon = study.model_copy(update={"sampler_options": options})
    asked = optuna.create_study(storage=InMemoryStorage(), directions=study.directions)
    ranges: dict[str, BaseDistribution] = {parameter.key: distribution(parameter) for parameter in space}
    for number in range(1 if study.sampler == "gp" else _DRAWN):
        asked.sampler = sampler(soon, space, number)
        asked.tell(asked.ask(ranges), [float(number), *(-float(number) for _ in study.directions[1:])])


def _judge(study: StudyConfig) -> None:
    """Report trials to the pruner, each worse than the one before it."""
    directions = [StudyDirection.MINIMIZE for _ in study.directions]
    judged = optuna.create_study(storage=InMemoryStorage(), directions=directions, pruner=pruner(study))
    for number in range(_DRAWN):
        trial = judged.ask()
        for step in _STEPS:
            report(trial, [float(number) for _ in directions], step)
            judged.pruner.prune(judged, trial._get_latest_trial())
        judged.tell(trial, [float(number) for _ in directions])


def _refused(path: str, use: Callable[[], object]) -> Iterator[tuple[str, str]]:
    """Yield the error that a sampler or pruner raises.

    Optuna raises errors of any kind for an unforeseen option.
    """
    try:
        with _silence():
            use()
    except UserError as error:  # of the user's own code; the message names the line
        yield from ((fault.path, fault.message) for fault in error.faults)
    except (ValueError, TypeError) as error:
        yield path, f"is refused: {first_line(error)}"
    except Exception as error:
        yield path, f"is refused: {type(error).__name__}: {first_line(error)}"


@contextmanager
def _silence() -> Iterator[None]:
    """Hide Optuna's messages and warnings."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(level)
