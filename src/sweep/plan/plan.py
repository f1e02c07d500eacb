"""Command line → `Plan`, with every check that needs no weights and no GPU.

One message names all faults. Nothing here imports torch, so that a mistake is told at once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sweep.config.cli import Request, read_arguments
from sweep.config.composed import literal
from sweep.config.keys import keys
from sweep.config.origin import Origins
from sweep.config.schema import Config, Scalar
from sweep.config.space import Space
from sweep.data.splits import Splits
from sweep.errors import Fault, UserError, closest
from sweep.plan.checks import check
from sweep.plan.class_weights import class_weight_faults
from sweep.plan.data import label_metric_faults, label_word_faults, load_data, own_metric_faults
from sweep.plan.experiment import Experiment, settled
from sweep.plan.length_checks import length_faults
from sweep.plan.lengths import TrialLengths
from sweep.plan.memory_needs import Needs
from sweep.plan.notes import not_searched, notes
from sweep.plan.scored_labels import fold_notes, undefined_faults
from sweep.plan.space import corner_configs, fixed_values, load_space, searching
from sweep.plan.space_checks import check_space
from sweep.plan.warm_start_checks import check_warm_start
from sweep.plan.whole_batch import recorded_split
from sweep.records.trial import TrialPlan, TrialRecord
from sweep.search.report_steps import ReportSteps

Check = Callable[[Config], Sequence[Fault]]


@dataclass(frozen=True, slots=True)
class Plan:
    """An experiment without faults, with its data.

    `corners` are the config as it stands, then with each end of each searched range; `notes` are
    advice for the user. `lengths` has the mean length of a training row in tokens, by the values
    that it depends on (`tokenised_by`), once the rows were tokenised. `needs` is empty until the
    models were counted.
    """

    experiment: Experiment
    corners: tuple[Config, ...]
    splits: Splits
    notes: tuple[str, ...] = ()
    lengths: Mapping[str, float] = field(default_factory=dict)
    needs: Needs = Needs()

    @property
    def config(self) -> Config:
        """Return the config as it stands."""
        return self.experiment.config

    @property
    def space(self) -> Space:
        """Return the search space, without the keys that the command line sets."""
        return self.experiment.space

    @property
    def origin(self) -> Origins:
        """Return the lookup of the place where the user set a value."""
        return self.experiment.origin

    @contextmanager
    def naming_origins(self) -> Iterator[None]:
        """Add to the faults of an error within the context where the user set their values."""
        try:
            yield
        except UserError as error:
            faults = tuple(replace(one, origin=one.origin or self.origin(one.path)) for one in error.faults)
            if faults == error.faults:
                raise
            raise UserError(faults) from None

    @property
    def command(self) -> str:
        """Return the command that the user typed, without passwords."""
        return self.experiment.command

    @property
    def report_steps(self) -> ReportSteps:
        """Return the steps at which trials report to the pruner."""
        return ReportSteps.of([corner.trainer for corner in self.corners], self.space, len(self.splits.train))

    def settled(self, *, bf16: bool) -> Plan:
        """Return the plan with `bf16` in place of each `trainer.bf16=auto`."""
        corners = tuple(settled(corner, bf16=bf16) for corner in self.corners)
        return replace(self, experiment=self.experiment.settled(bf16=bf16), corners=corners)

    def tokens_per_row(self, config: Config) -> float | None:
        """Return the mean number of tokens of a training row; None where it is not known."""
        return self.lengths.get(tokenised_by(config))

    def trial(self, number: int, params: Mapping[str, Scalar], *, batch: int | None = None) -> TrialPlan:
        """Return the trial at `params`, composed as if the user had typed their values.

        A searched warmup is cut to the trial's length. `batch` is the number of rows in a batch
        where the effective batch is divided. Raises UserError if the values break a rule together.
        """
        return self.experiment.trial(number, params, rows=len(self.splits.train), batch=batch)

    def again(self, record: TrialRecord, changed: Mapping[str, Scalar] = MappingProxyType({})) -> TrialPlan:
        """Return the trial of a record, with the batches that it was trained in. `changed` are
        values in place of its own."""
        return self.trial(record.number, {**record.params, **changed}, batch=recorded_split(record.used))


def tokenised_by(config: Config) -> str:
    """Return the values that the tokens of a row depend on."""
    return repr((config.model, config.prompt, config.dataset.max_length))


def make_plan(argv: Sequence[str], *, checks: Sequence[Check] = (), last: Sequence[Check] = ()) -> Plan:
    """Return the plan of a command line.

    `checks` belong to packages above this one, and their faults to the same message. `last` may
    use the network, and run only where nothing else is wrong. Raises UserError with every fault;
    SystemExit(0) after printing what `--help` or `--cfg` asks for.
    """
    request = read_arguments(argv)
    experiment, faults = Experiment.read(request)
    if request.show and not faults:
        _show(request, experiment)
    config = experiment.config
    faults.add_new([*check(config), *(fault for one in checks for fault in one(config))])

    space, space_faults = load_space(experiment)
    fixed = fixed_values(experiment, space)
    experiment = searching(experiment, space, fixed)
    config, space = experiment.config, experiment.space
    faults.add(space_faults or check_space(config, space))
    faults.add(check_warm_start(config))
    corners = [config]
    if not faults:
        corners, corner_faults = corner_configs(experiment)
        faults.add(corner_faults)

    splits = load_data(experiment, faults)
    if splits is None:
        raise UserError(faults.found)
    lengths = TrialLengths(corners, len(splits.train))
    if not faults.concern("trainer.", "optimizer."):
        faults.add_new(length_faults(config, space, lengths))
    faults.add_new(label_word_faults(corners, splits.labels))
    faults.add_new(class_weight_faults(corners, splits))
    faults.add_new(own_metric_faults(config.dataset, splits))
    faults.add_new(label_metric_faults(config, splits))
    faults.add_new(undefined_faults(config.study, splits))
    if not faults:
        faults.add(fault for one in last for fault in one(config))
    if faults:
        raise UserError(faults.found)
    advice = (*not_searched(fixed), *fold_notes(corners, splits), *notes(experiment, lengths, splits.state.scored))
    return Plan(experiment, tuple(corners), splits, advice)


def _show(request: Request, experiment: Experiment) -> None:
    """Print the config that `--cfg` asks for, and end the program."""
    whole = OmegaConf.merge(
        OmegaConf.create(literal(experiment.config.model_dump(mode="json"))), experiment.composed.tree
    )
    found = whole if request.package is None else _part(whole, request.package)
    print(OmegaConf.to_yaml(found, resolve=request.resolve).rstrip() if OmegaConf.is_config(found) else _plain(found))
    raise SystemExit(0)


def _part(whole: DictConfig | ListConfig, package: str) -> Any:
    """Return the value of a key, which may be null. Raises UserError where there is none."""
    nothing = object()
    try:
        found = OmegaConf.select(whole, package, default=nothing)
    except OmegaConfBaseException:  # the name of an element of a list
        found = nothing
    if found is nothing:
        rule = f"is {package}, which the config does not have{closest(package, (*whole, *keys()))}"
        raise UserError.of("--package", rule)
    return found


def _plain(value: Any) -> str:
    """Return a plain value as YAML writes it, but a text without quotes, for scripts."""
    return value if isinstance(value, str) else json.dumps(value)
