"""The experiment that a command line describes, and the trials composed from it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sweep.config.cli import Request
from sweep.config.compose import Composer
from sweep.config.composed import Composed
from sweep.config.keys import is_key
from sweep.config.origin import Origins
from sweep.config.overrides import merged
from sweep.config.parse import parse
from sweep.config.schema import Config, Scalar, StudyConfig
from sweep.config.secrets import scrub_typed
from sweep.config.space import Space
from sweep.config.steps import total_steps
from sweep.errors import Fault, UserError
from sweep.plan.checks import check
from sweep.plan.faults import FaultList
from sweep.plan.lengths import cut_warmup
from sweep.plan.whole_batch import whole_batch, with_split
from sweep.records.trial import TrialPlan


@dataclass(frozen=True, slots=True)
class Experiment:
    """A config, the space that is searched around it, and all that composes its trials.

    `composed` is the tree that Hydra made of `overrides`. `bf16` is the value of
    `trainer.bf16=auto` on the device at hand; `settled` sets it.
    """

    composer: Composer
    composed: Composed
    overrides: tuple[str, ...]
    config: Config
    space: Space = Space()
    bf16: bool = False

    @classmethod
    def read(cls, request: Request) -> tuple[Experiment, FaultList]:
        """Return the experiment that the user typed, and its faults.

        Each faulty value is replaced by its default. The space is empty until `searching` sets it.
        Raises UserError where nothing can be composed.
        """
        composer = Composer(request.config_dirs)
        composed = _composed(composer, request.overrides)
        origin = Origins(composer, request.overrides, composed.choices)
        composed = whole_batch(composed, origin)
        config, faults = parse(composed.resolved(), origin)
        return cls(composer, composed, request.overrides, config), FaultList(origin, list(faults))

    @property
    def origin(self) -> Origins:
        """Return the lookup of the place where the user set a value."""
        return Origins(self.composer, self.overrides, self.composed.choices)

    @property
    def typed_keys(self) -> list[str]:
        """Return the keys and groups that the command line sets."""
        return [key for override in self.overrides for key in self.composer.keys(override)]

    def value(self, key: str) -> Scalar:
        """Return the composed value of a key, or the option that a config group has."""
        if key in self.composer.groups:
            return self.composed.choices[key]
        found: Scalar = self.composed.value(key)
        return found

    def searching(self, space: Space, config: Config) -> Experiment:
        """Return the experiment with a search space, and with the config that goes with it."""
        return replace(self, space=space, config=config)

    def settled(self, *, bf16: bool) -> Experiment:
        """Return the experiment with `bf16` in place of each `trainer.bf16=auto`."""
        return replace(self, config=settled(self.config, bf16=bf16), bf16=bf16)

    def at(self, params: Mapping[str, Scalar]) -> Config:
        """Return the config of a trial, composed exactly as if the user had typed `params`.

        Raises UserError with each rule that the values break. A fault of a searched value names
        the search space.
        """
        chosen = {key: value for key, value in params.items() if key in self.composer.groups}
        composed = self.composer.remembered(self._with(chosen)) if chosen else self.composed
        composed = composed.updated({key: value for key, value in params.items() if key not in chosen})
        origin = Origins(self.composer, self._with(params), composed.choices)
        config, wrong = parse(whole_batch(composed, origin).resolved(), origin)
        faults = FaultList(origin, wrong)
        faults.add_new(check(config, checked=self.config.study))
        if faults:
            source = f"search space {self.space.source}"
            raise UserError([replace(one, origin=source) if one.path in params else one for one in faults.found])
        return config

    def trial(self, number: int, params: Mapping[str, Scalar], *, rows: int, batch: int | None = None) -> TrialPlan:
        """Return the trial at `params`, which trains on `rows` rows.

        A searched warmup is cut to the trial's length. Its effective batch is divided into batches
        of so many rows (`batch`); None does not divide it. Raises UserError as `at` does.
        """
        config = self.at(params)
        auto, config = config.trainer.bf16 == "auto", settled(config, bf16=self.bf16)
        steps = total_steps(rows, config.trainer)
        config, used = cut_warmup(config, params, steps)
        if batch is not None:
            config, split = with_split(config, batch)
            used |= split
        exact: dict[str, Scalar] = {"trainer.bf16": config.trainer.in_bf16} if auto else {}  # on whatever device
        # Its own command trains it in one process: a cluster may be gone by then, and scores are the same.
        placed = [one for one in self._with({**params, **used, **exact}) if not _of_launcher(self.composer.key(one))]
        typed = merged(self.composer, placed, self._alone(number, config))
        return TrialPlan(number, dict(params), config, steps, self._command(typed), used)

    @property
    def command(self) -> str:
        """Return the command that the user typed, without passwords."""
        return self._command(self.overrides)

    def _with(self, values: Mapping[str, Any]) -> list[str]:
        return merged(self.composer, self.overrides, values)

    def _command(self, overrides: Iterable[str]) -> str:
        folders = [part for folder in self.composer.config_dirs for part in ("--config-dir", str(folder))]
        return scrub_typed(shlex.join(["python", "-m", "sweep", *overrides, *folders]))

    def _alone(self, number: int, config: Config) -> dict[str, Any]:
        """Return the values that make a study of one trial, in a run directory of its own."""
        study = self.config.study
        name = f"{study.study_name}-trial-{number}"
        alone: dict[str, Any] = {
            "study.study_name": name, "study.n_trials": 1, "study.space": None, "study.enqueue": [],
            "run_dir": f"runs/{name}",
        }  # fmt: skip
        if config.trainer.eval_strategy == "early":
            alone["trainer.eval_strategy"] = "early"  # set by the user, so that no note advises against it
        if study.sampler == "grid":
            alone["study.sampler"] = "random"
        if study.warm_start:
            alone["study.warm_start"] = []
        if study.compare_by is not None:
            alone["study.compare_by"] = None
        if study.confirm_seeds > 1:
            alone |= {"study.confirm_seeds": 1, "study.confirm_top": StudyConfig.model_fields["confirm_top"].default}
        return alone


def _of_launcher(key: str) -> bool:
    """Return whether a key says where trials are trained."""
    return key.partition(".")[0] == "launcher"


def settled(config: Config, *, bf16: bool) -> Config:
    """Return the config with `bf16` in place of `trainer.bf16=auto`."""
    return config.model_copy(update={"trainer": config.trainer.settled(bf16=bf16)})


def _composed(composer: Composer, overrides: Sequence[str]) -> Composed:
    """Return the composed config. Raises UserError with every fault of the overrides."""
    try:
        return composer.compose(overrides)
    except UserError as error:
        raise UserError([*error.faults, *_other_faults(composer, overrides)]) from None


def _other_faults(composer: Composer, overrides: Sequence[str]) -> list[Fault]:
    """Return the faults of the overrides that can be read, where others cannot.

    These are unknown keys and values of a wrong kind. Rules across values have to wait until every
    override can be read.
    """
    left = composer.accepted(overrides)
    if len(left) == len(overrides):
        return []
    try:
        composed = composer.compose(left)
        config, faults = parse(composed.resolved(), Origins(composer, left, composed.choices))
    except UserError:
        return []
    typed = {key for override in left for key in composer.keys(override)}
    return [fault for fault in faults if fault.path in typed and not _of_another_method(fault.path, config)]


def _of_another_method(path: str, config: Config) -> bool:
    """Return whether a key is one of another adapter method than the config's."""
    parent, _, name = path.rpartition(".")
    return parent == "adapter" and is_key(path) and name not in type(config.adapter).model_fields
