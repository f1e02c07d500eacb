"""The next point of a study: its place in the study's order, and the sampler of the values that it
lacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from sweep.config.schema import Scalar, StudyConfig
from sweep.config.space import Space
from sweep.search.other_studies import WarmSampler, of_choice
from sweep.search.promotion import is_paused
from sweep.search.samplers import PLACE, sampler
from sweep.study.points import begun_points, free_place
from sweep.study.transactions import OrderedStudy, in_order
from sweep.study.trial_groups import SCORED_TO, OwnSampler, value_of


def next_point(
    study: OrderedStudy, config: StudyConfig, space: Space, earlier: Sequence[FrozenTrial] = ()
) -> tuple[int, BaseSampler]:
    """Return the place of the next point, and the sampler for it, which also sees the trials
    `earlier` of other studies. With `compare_by`, a point without a waiting trial is enqueued with
    its compared value."""
    key = config.compare_by
    value = None if key is None else _next_value(study, space, key)
    trials = study.get_trials(deepcopy=False)  # read once: each question to the storage takes milliseconds
    waiting = in_order(trials)
    points = [*begun_points(trials), *(trial for trial in waiting if PLACE in trial.user_attrs)]
    place = waiting[0].user_attrs.get(PLACE) if waiting else None
    if place is None:
        place = free_place(points)
    if key is None:
        made = _warm(sampler(config, space, place), earlier)
        shown_otherwise = any(is_paused(point) or SCORED_TO in point.user_attrs for point in points)
        return place, OwnSampler(made, None, None) if shown_otherwise else made
    before = [point for point in points if point.user_attrs.get(PLACE, -1) < place]
    own = sum(value_of(point, key) == value for point in before)
    made = _warm(sampler(config, space, place, own), earlier, {key: value})
    return place, OwnSampler(made, key, value)


def _warm(
    made: BaseSampler, earlier: Sequence[FrozenTrial], fixed: Mapping[str, Scalar] = MappingProxyType({})
) -> BaseSampler:
    """Return a sampler that also sees the trials of other studies with these values."""
    chosen = of_choice(earlier, fixed)
    return WarmSampler(made, chosen) if chosen else made


def _next_value(study: OrderedStudy, space: Space, key: str) -> Scalar:
    """Return the value that the next point has for the compared `key`.

    Without a waiting point, enqueue one with the value that the fewest points have, those of
    running trials included; the first of equals.
    """
    if waiting := study.waiting():
        return value_of(waiting[0], key)
    taken = Counter(value_of(trial, key) for trial in begun_points(study.get_trials(deepcopy=False)))
    value = min(space.choices(key), key=lambda value: taken[value])
    study.enqueue_trial({key: value})
    return value
