"""Rules between a search space and the study that searches it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sweep.config.schema import Config, Scalar
from sweep.config.space import ENTRIES, Space
from sweep.errors import Fault, closest
from sweep.plan.whole_batch import search_rules
from sweep.search.options import trial_faults

MOST_POINTS = 100_000  # of a grid


def check_space(config: Config, space: Space) -> list[Fault]:
    """Return the faults between the search space and the study.

    Those of a searched key name the space as their origin.
    """
    found = (
        *_grid(config, space), *_enqueued(config, space), *_compared(config, space), *_prompts(config, space),
        *_entries(config, space), *search_rules(config, space), *trial_faults(config.study, space),
    )  # fmt: skip
    source = f"search space {space.source}"
    return [Fault(path, rule, source if path in space else "") for path, rule in found]


def _grid(config: Config, space: Space) -> Iterator[tuple[str, str]]:
    """Yield the faults of a grid."""
    study = config.study
    if study.sampler == "grid" and study.enqueue:
        yield "study.enqueue", "is set, but study.sampler is grid, which tries every point as it is"
    if study.sampler == "grid" and not len(space):
        yield "study.sampler", "is grid, but there is no search space (study.space)"
    if study.sampler == "grid" and any(parameter.when for parameter in space):
        yield "study.sampler", "is grid, but the search space has conditional keys (when:), which a grid cannot"
    for parameter in space:
        if study.sampler == "grid" and parameter.domain.count() is None:
            yield (
                parameter.key,
                f"is {parameter.domain}, but the grid sampler needs a step or choices; use study.space=grid",
            )
    if study.sampler == "grid" and (size := space.grid_size()) is not None and size > MOST_POINTS:
        rule = (
            f"is grid, but the search space has {size:,} points, and a grid is laid out whole: {MOST_POINTS:,} at most"
        )
        yield "study.sampler", f"{rule}; give larger steps, or use qmc or random"


def _compared(config: Config, space: Space) -> Iterator[tuple[str, str]]:
    """Yield the faults of `study.compare_by`.

    Choices get an equal budget only where the study itself deals out their trials.
    """
    study = config.study
    if study.compare_by is None:
        return
    choices, path = space.choices(study.compare_by), "study.compare_by"
    if len(choices) < 2:
        keys = [parameter.key for parameter in space if len(space.choices(parameter.key)) > 1]
        rule = f"is {study.compare_by}, but must be a searched key with two or more choices"
        yield path, f"{rule}; this search has: {', '.join(keys) or 'none'}{closest(study.compare_by, keys)}"
        return
    if study.pruner == "hyperband":
        yield (
            "study.pruner",
            "is hyperband, whose brackets mix the choices of study.compare_by; use racing or another one",
        )
    if space[study.compare_by].when:
        yield path, f"is {study.compare_by}, which is searched only under a condition (when:)"
    if study.sampler == "grid":
        yield "study.sampler", "is grid, which tries every point as it is; study.compare_by needs another sampler"
    if study.n_trials < len(choices):
        yield (
            "study.n_trials",
            f"is {study.n_trials}, but must be at least {len(choices)}: one trial for each {study.compare_by}",
        )
    share = -(-study.n_trials // len(choices))
    for index, point in enumerate(study.enqueue):
        if study.compare_by not in point:
            yield (
                f"study.enqueue[{index}]",
                f"must name {study.compare_by}, by which study.compare_by shares out trials",
            )
    for value in choices:
        named = sum(point.get(study.compare_by) == value for point in study.enqueue)
        if named > share:
            rule = f"has {named} points with {study.compare_by}={value}, but each choice gets at most {share} trials"
            yield "study.enqueue", rule


def _enqueued(config: Config, space: Space) -> Iterator[tuple[str, str]]:
    """Yield the faults of points that are tried first."""
    for index, point in enumerate(config.study.enqueue):
        for key, value in point.items():
            if key not in space:
                yield (
                    f"study.enqueue[{index}]",
                    f"names {key}, which is not searched; searched are: {', '.join(p.key for p in space) or 'none'}",
                )
            elif not space[key].active(_met(space, point, key)):
                conditions = " and ".join(
                    f"{name} is {' or '.join(map(str, wanted))}" for name, wanted in space[key].when.items()
                )
                yield f"study.enqueue[{index}]", f"has {key}, which is searched only where {conditions}"
            elif not space[key].domain.contains(value):
                yield f"study.enqueue[{index}]", f"has {key} = {value}, but the search space allows {space[key].domain}"


def _met(space: Space, point: Mapping[str, Scalar], key: str) -> dict[str, Scalar]:
    """Return the values that decide whether `key` is searched.

    A value that the point leaves to the sampler meets its condition.
    """
    return {name: point.get(name, wanted[0]) for name, wanted in space[key].when.items()}


def _entries(config: Config, space: Space) -> Iterator[tuple[str, str]]:
    """Yield the faults of searched entries of a mapping.

    They need the mapping: beside a text they would replace the text.
    """
    for key in ENTRIES:
        searched = [parameter.key for parameter in space if parameter.key.startswith(f"{key}.")]
        group, _, name = key.partition(".")
        given = getattr(getattr(config, group), name, None)
        if searched and isinstance(given, str):
            yield (
                key,
                f"is a text, but {searched[0]} is searched; write it as a mapping, such as '{key}={{NAME: VALUE}}'",
            )
        if searched and key in space:
            yield key, f"is searched as a whole, and {searched[0]} too; search one of them"


def _prompts(config: Config, space: Space) -> Iterator[tuple[str, str]]:
    """Yield a fault for a searched prompt that is judged by its loss."""
    searched = [parameter.key for parameter in space if parameter.key.split(".")[0] == "prompt"]
    if searched and config.study.metric == "eval/loss":
        rule = f"is eval/loss, but {searched[0]} is searched, and losses of different prompts cannot be compared"
        yield "study.metric", f"{rule}; use eval/accuracy or eval/f1_macro"
