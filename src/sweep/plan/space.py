"""The search space of an experiment, and the configs at its corners."""

from __future__ import annotations

from collections.abc import Mapping

from sweep.config import space as spaces
from sweep.config.schema import Config, Scalar
from sweep.config.space import Space
from sweep.errors import Fault, UserError
from sweep.plan.experiment import Experiment
from sweep.plan.whole_batch import replaced


def load_space(experiment: Experiment) -> tuple[Space, list[Fault]]:
    """Return the space that `study.space` names, without its faulty keys, and their faults."""
    name, composer = experiment.config.study.space, experiment.composer
    if name is None:
        return Space(), []
    try:
        return spaces.load(spaces.find(name, composer.config_dirs), composer.groups)
    except UserError as error:
        return Space(), list(error.faults)


def fixed_values(experiment: Experiment, space: Space) -> dict[str, Scalar]:
    """Return the searched keys and groups that the command line sets, each with its value.

    These are not searched.
    """
    typed = experiment.typed_keys
    fixed = {key: experiment.value(key) for key in typed if key in space}
    return replaced(typed, space, experiment.value) | fixed


def searching(experiment: Experiment, space: Space, fixed: Mapping[str, Scalar]) -> Experiment:
    """Return the experiment that searches `space` without the keys in `fixed`.

    Points that an experiment's file enqueues belong to the space that the file names. They are
    dropped where the command line names another space, and lose the keys in `fixed`. Points that
    the command line enqueues stay as they are.
    """
    left, typed, config = space.without(fixed), experiment.typed_keys, experiment.config
    if "study.enqueue" not in typed:
        gone = {parameter.key for parameter in space if parameter.key not in left}
        own = () if "study.space" in typed else config.study.enqueue
        points = [{key: value for key, value in point.items() if key not in gone} for point in own]
        study = config.study.model_copy(update={"enqueue": tuple(point for point in points if point)})
        config = config.model_copy(update={"study": study})
    return experiment.searching(left, config)


def corner_configs(experiment: Experiment) -> tuple[list[Config], list[Fault]]:
    """Return the config as it stands, then with each end of each searched range.

    The second value holds the faults of those ends.
    """
    configs, faults = [experiment.config], list[Fault]()
    for params in experiment.space.corners():
        try:
            configs.append(experiment.at(params))
        except UserError as error:
            point = ", ".join(f"{key}={value}" for key, value in params.items())
            source = f"search space {experiment.space.source}: {point}"
            faults += [Fault(fault.path, fault.message, source) for fault in error.faults]
    return configs, faults
