"""Rules of a study's objectives."""

from __future__ import annotations

from collections.abc import Iterator

from sweep.config.extra_metrics import label_of
from sweep.config.measured import MEASURED
from sweep.config.metrics import known_direction, objectives
from sweep.config.schema import Config, DatasetConfig
from sweep.errors import closest
from sweep.search.pruners import OF_TWO_OBJECTIVES
from sweep.search.samplers import OF_ONE_OBJECTIVE

_LIST = "study.metric=[eval/…,{name}]"


def first_objective(config: Config) -> Iterator[tuple[str, str]]:
    """Yield the faults of `study.metric` and `study.direction`."""
    study, dataset = config.study, config.dataset
    if rule := _metric_rule(dataset, study.metric):
        yield "study.metric", rule
    elif (better := known_direction(dataset, study.metric)) not in (None, study.direction):
        yield "study.direction", _direction_rule(study.metric, study.direction, "study.direction", str(better))


def _metric_rule(dataset: DatasetConfig, name: str) -> str:
    """Return the rule that a metric of `study.metric` breaks; empty where it breaks none."""
    if name in MEASURED:
        return f"is {name}, which is known once a trial has ended; it may be the second one: {_LIST.format(name=name)}"
    allowed = objectives(dataset)
    if name in allowed[:-1] or label_of(name.removeprefix("eval/")):
        return ""
    if name.startswith("test/"):
        return "is of the test split, which no choice may look at; use eval/…"
    own = "" if dataset.own_metrics else "; dataset.metrics adds functions of your own"
    return f"is {name}, but a {dataset.task} task has: {', '.join(allowed)}{closest(name, allowed)}{own}"


def _direction_rule(metric: str, direction: str, key: str, better: str) -> str:
    """Return the rule that a direction breaks where the metric is known to have the other one."""
    side = "lower" if better == "minimize" else "higher"
    return f"is {direction}, but {metric} is better when {side}; type {key}={better}"


def second_objective(config: Config) -> Iterator[tuple[str, str]]:
    """Yield the faults of `study.second_metric`, and of settings that need it or cannot be beside
    it."""
    study = config.study
    if study.second_metric is None:
        if study.second_direction is not None:
            yield (
                "study.second_direction",
                f"is {study.second_direction}, but there is no study.second_metric; leave it out",
            )
        if study.choose_within:
            rule = (
                f"is {study.choose_within:g}, but counts only with two objectives; leave it out, or name a second one"
            )
            yield "study.choose_within", f"{rule}, as in study.metric=[{study.metric},cost/seconds]"
        return
    yield from _second_metric(config, study.second_metric)
    if study.pruner not in OF_TWO_OBJECTIVES:
        rule = f"is {study.pruner}, which judges one objective, but study.metric names two"
        yield "study.pruner", f"{rule}; use {' or '.join(OF_TWO_OBJECTIVES)}"
    if study.sampler in OF_ONE_OBJECTIVE:
        rule = f"is {study.sampler}, which searches for one objective, but study.metric names two"
        yield "study.sampler", f"{rule}; use tpe, gp, qmc, random or grid"


def _second_metric(config: Config, name: str) -> Iterator[tuple[str, str]]:
    study, dataset, key = config.study, config.dataset, "study.second_direction"
    if name == study.metric:
        yield "study.second_metric", f"is {name}, as study.metric; name another one, or none"
    if name in MEASURED:
        if study.second_direction == "maximize":
            yield key, _direction_rule(name, study.second_direction, key, "minimize")
        return
    if rule := _metric_rule(dataset, name):
        yield "study.second_metric", f"{rule}; or a measured value: {', '.join(MEASURED)}{closest(name, MEASURED)}"
        return
    better = known_direction(dataset, name)
    if better is None and study.second_direction is None:
        rule = f"is null, but {name} is a metric of your own, whose direction is not known"
        yield key, f"{rule}; type study.direction=[{study.direction},minimize] or [{study.direction},maximize]"
    elif better is not None and study.second_direction not in (None, better):
        yield key, _direction_rule(name, str(study.second_direction), key, better)
