"""Command line → `Plan`: every check that needs no weights and no GPU, with all faults reported at once.

Nothing here imports torch: a mistake answers at once.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from sweep.config import space as spaces
from sweep.config.cli import Request, read_arguments
from sweep.config.compose import Composed, Composer
from sweep.config.custom_metrics import trial_faults
from sweep.config.origin import Origins
from sweep.config.parse import parse
from sweep.config.schema import Config, Scalar, StudyConfig
from sweep.config.secrets import scrub_typed
from sweep.config.space import Space
from sweep.config.steps import evaluation_steps, total_steps, warmup_steps
from sweep.data.splits import Splits, load_splits
from sweep.data.template import word_faults
from sweep.errors import Fault, UserError
from sweep.plan.checks import check, check_space
from sweep.plan.idle import idle
from sweep.plan.lengths import WARMUP, cut_warmup, cut_warmups, fewest_steps, long_decays, long_warmups, uncountable
from sweep.records.trial import TrialPlan
from sweep.search.samplers_and_pruners import never_stopped, not_learnt, trials_of_each

Check = Callable[[Config], Sequence[Fault]]
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_MOST_PAIRS = 2_000  # of values of two keys, tried for a note: some milliseconds each


@dataclass(frozen=True, slots=True)
class Plan:
    """An experiment that can be run: composed, checked, and its data at hand.

    `corners` are the config as it stands, then with each end of each searched range; `notes` are for the user. `bf16` is what
    `trainer.bf16=auto` stands for on the device at hand, which only `settled` knows.
    """

    request: Request
    composer: Composer
    composed: Composed
    config: Config
    space: Space
    corners: tuple[Config, ...]
    splits: Splits
    notes: tuple[str, ...] = ()
    bf16: bool = False

    def settled(self, *, bf16: bool) -> Plan:
        """With `bf16` in place of each `trainer.bf16=auto`."""
        corners = tuple(_settled(corner, bf16=bf16) for corner in self.corners)
        return replace(self, config=_settled(self.config, bf16=bf16), corners=corners, bf16=bf16)

    def trial(self, number: int, params: Mapping[str, Scalar]) -> TrialPlan:
        """The trial composed as if the user had typed its values; a searched warmup is cut to the trial's length.

        Raises UserError if together the values break a rule.
        """
        try:
            config = _variant(self.composer, self.composed, self.request.overrides, params)
        except UserError as error:
            where = f"search space {self.space.source}"
            raise UserError(
                [replace(fault, origin=where) if fault.path in params else fault for fault in error.faults]
            ) from None
        auto, config = config.trainer.bf16 == "auto", _settled(config, bf16=self.bf16)
        steps = total_steps(len(self.splits.train), config)
        config, used = cut_warmup(config, params, steps)
        exact: dict[str, Scalar] = {"trainer.bf16": config.trainer.in_bf16} if auto else {}  # on whatever device
        overrides = merged(self.composer, self.request.overrides, {**params, **used, **exact})
        return TrialPlan(number, dict(params), config, steps, self._command(number, overrides, config), used)

    @property
    def origin(self) -> Origins:
        return Origins(self.composer, self.request.overrides, self.composed.choices)

    @property
    def command(self) -> str:
        """What the user typed, without passwords."""
        return scrub_typed(shlex.join(["python", "-m", "sweep", *self.request.overrides, *self._folders()]))

    def _folders(self) -> list[str]:
        return [part for folder in self.request.config_dirs for part in ("--config-dir", str(folder))]

    def _command(self, number: int, overrides: Sequence[str], config: Config) -> str:
        """A study of this one point, whose config it is, in a run directory of its own."""
        name = f"{self.config.study.study_name}-trial-{number}"
        alone: dict[str, Any] = {"study.study_name": name, "study.n_trials": 1, "study.space": None, "study.enqueue": [],
                                 "run_dir": f"runs/{name}"}  # fmt: skip
        if config.trainer.eval_strategy == "early":
            alone["trainer.eval_strategy"] = "early"  # asked for: the plan of a trial alone does not advise against it
        study = self.config.study
        if study.sampler == "grid":
            alone["study.sampler"] = "random"
        if study.compare_by is not None:
            alone["study.compare_by"] = None
        if study.confirm_seeds > 1:
            alone |= {"study.confirm_seeds": 1, "study.confirm_top": StudyConfig.model_fields["confirm_top"].default}
        return scrub_typed(
            shlex.join(["python", "-m", "sweep", *merged(self.composer, overrides, alone), *self._folders()])
        )


def make_plan(argv: Sequence[str], *, checks: Sequence[Check] = (), last: Sequence[Check] = ()) -> Plan:
    """Raises UserError with every fault found; SystemExit(0) once `--help` or `--cfg` has printed what it should.

    `checks` are of rooms above this one, whose faults belong in the same message; `last` are asked only if all else is
    right, since they may ask the network.
    """
    request = read_arguments(argv)
    composer = Composer(request.config_dirs)
    composed = _composed(composer, request.overrides)
    origin = Origins(composer, request.overrides, composed.choices)
    config, faults = parse(composed.resolved(), origin)
    if request.show and not faults:
        _show(request, composed)
    found = [*check(config, origin), *(fault for one in checks for fault in one(config))]
    faults += _new([_with_origin(fault, origin) for fault in found], faults)
    space, space_faults = _load_space(config, composer)
    fixed = _fixed(composer, composed, request.overrides, space)
    whole, space = space, space.without(fixed)
    config = _with_points_left(config, [composer.key(override) for override in request.overrides], whole, space)
    faults += space_faults or check_space(config, space, origin)
    corners = [config] if faults else [config, *_corners(composer, composed, request.overrides, space, faults)]
    splits = _load_data(config, faults, origin)
    if splits is not None and not any(fault.path.startswith(("trainer.", "optimizer.")) for fault in faults):
        late = _schedule_faults(config, space, corners, rows=len(splits.train), origin=origin)
        faults += _new(list(late), faults)
    if splits is not None:
        faults += _new([_with_origin(fault, origin) for fault in _word_faults(corners, splits)], faults)
    if splits is not None and not any(fault.path.startswith("dataset.") for fault in faults):
        faults += [_with_origin(fault, origin) for fault in _own_metric_faults(config, splits)]
    faults += [] if faults else [_with_origin(fault, origin) for one in last for fault in one(config)]
    if faults or splits is None:
        raise UserError(faults)
    notes = _not_searched(fixed)
    notes += idle(config, space, origin.chosen)
    notes += not_learnt(config.study, space)
    searched = config.study.n_trials > len(config.study.enqueue)
    notes += _unfit_together(composer, composed, request.overrides, space) if searched else []
    notes += cut_warmups(config, space, corners, rows=len(splits.train))
    notes += long_warmups(config, corners if searched else [config], rows=len(splits.train))
    notes += _idle_evaluations(config, space, corners, rows=len(splits.train), origin=origin)
    return Plan(request, composer, composed, config, space, tuple(corners), splits, tuple(notes))


def merged(composer: Composer, overrides: Sequence[str], values: Mapping[str, Any]) -> list[str]:
    """`overrides` with `values` in place of whatever they said of the same keys and groups."""
    kept = [override for override in overrides if composer.key(override) not in values]
    return [*kept, *(f"{key}={quoted(value)}" for key, value in values.items())]


def quoted(value: Any) -> str:
    """A value in the grammar of Hydra's overrides."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case str():
            plain = re.fullmatch(r"[A-Za-z_][\w./-]*", value) and value.lower() not in (
                "null",
                "true",
                "false",
                "nan",
                "inf",
            )
            return value if plain else _in_quotes(value)
        case Mapping():
            return "{" + ",".join(f"{key}:{quoted(item)}" for key, item in value.items()) + "}"
        case list() | tuple():
            return "[" + ",".join(map(quoted, value)) + "]"
        case _:
            return repr(value)


def _in_quotes(value: str) -> str:
    """Hydra takes a backslash as it stands, except before a quote."""
    return "'" + re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + ("\\'" if found[2] else ""), value) + "'"


def _composed(composer: Composer, overrides: Sequence[str]) -> Composed:
    try:
        return composer.compose(overrides)
    except UserError as error:
        raise UserError([*error.faults, *_beside(composer, overrides)]) from None


def _beside(composer: Composer, overrides: Sequence[str]) -> list[Fault]:
    """What else the user typed that is wrong whatever the overrides that cannot be taken were meant to say: unknown keys,
    and values of the wrong kind. Rules across values have to wait."""
    left = composer.accepted(overrides)
    if len(left) == len(overrides):
        return []
    try:
        composed = composer.compose(left)
        _, faults = parse(composed.resolved(), Origins(composer, left, composed.choices))
    except UserError:
        return []
    typed = {composer.key(override) for override in left}
    return [fault for fault in faults if fault.path in typed]


def _variant(composer: Composer, composed: Composed, overrides: Sequence[str], params: Mapping[str, Scalar]) -> Config:
    """The config with other values. Raises UserError if they break a rule."""
    chosen = {key: value for key, value in params.items() if key in composer.groups}
    if chosen:
        composed = composer.remembered(merged(composer, overrides, chosen))
    composed = composed.updated({key: value for key, value in params.items() if key not in chosen})
    origin = Origins(composer, merged(composer, overrides, params), composed.choices)
    config, faults = parse(composed.resolved(), origin)
    if faults := [*faults, *_new(check(config, origin), faults)]:
        raise UserError(faults)
    return config


def _settled(config: Config, *, bf16: bool) -> Config:
    return config.model_copy(update={"trainer": config.trainer.settled(bf16=bf16)})


def _show(request: Request, composed: Composed) -> None:
    whole = OmegaConf.merge(OmegaConf.create(Config().model_dump(mode="json")), composed.tree)
    tree = whole if request.package is None else OmegaConf.select(whole, request.package)
    if tree is None:
        raise UserError.of("--package", f"is {request.package}, which the config does not have")
    print(OmegaConf.to_yaml(tree, resolve=request.resolve) if OmegaConf.is_config(tree) else tree, end="")
    raise SystemExit(0)


def _fixed(composer: Composer, composed: Composed, overrides: Sequence[str], space: Space) -> dict[str, Scalar]:
    """Searched keys and groups that the user gave a value on the command line: that value holds, and is not searched."""
    said = [composer.key(override) for override in overrides]
    searched = [key for key in said if key in space]
    return {
        key: composed.choices[key] if key in composer.groups else OmegaConf.select(composed.tree, key)
        for key in searched
    }


def _not_searched(fixed: Mapping[str, Scalar]) -> list[str]:
    if not fixed:
        return []
    said = [f"{key} is {value}" for key, value in fixed.items()]
    return [f"{' and '.join(said)}, from the command line, and {'are' if len(said) > 1 else 'is'} not searched"]


def _with_points_left(config: Config, said: Sequence[str], whole: Space, left: Space) -> Config:
    """The points that an experiment enqueues are of its own search space: none of them goes with another one, and a
    key that the command line has taken out of the space leaves them too."""
    if "study.enqueue" in said:
        return config
    gone = {parameter.key for parameter in whole if parameter.key not in left}
    own = () if "study.space" in said else config.study.enqueue
    points = [{key: value for key, value in point.items() if key not in gone} for point in own]
    study = config.study.model_copy(update={"enqueue": tuple(point for point in points if point)})
    return config.model_copy(update={"study": study})


def _with_origin(fault: Fault, origin: Origins) -> Fault:
    return Fault(fault.path, fault.message, fault.origin or origin(fault.path))


def _load_space(config: Config, composer: Composer) -> tuple[Space, list[Fault]]:
    if config.study.space is None:
        return Space(), []
    try:
        return spaces.load(spaces.find(config.study.space, composer.config_dirs), composer.groups)
    except UserError as error:
        return Space(), list(error.faults)


def _corners(
    composer: Composer, composed: Composed, overrides: Sequence[str], space: Space, faults: list[Fault]
) -> list[Config]:
    """The config at each end of each range; what is wrong with a value that the search could ask for goes to `faults`."""
    found: list[Config] = []
    for params in space.corners():
        try:
            found.append(_variant(composer, composed, overrides, params))
        except UserError as error:
            point = ", ".join(f"{key}={value}" for key, value in params.items())
            faults += [
                Fault(fault.path, fault.message, f"search space {space.source}: {point}") for fault in error.faults
            ]
    return found


def _unfit_together(composer: Composer, composed: Composed, overrides: Sequence[str], space: Space) -> Iterator[str]:
    """Of each two searched keys, the first values that break a rule together."""
    told: set[frozenset[str]] = set()
    for params in islice(space.pairs(), _MOST_PAIRS):
        try:
            if frozenset(params) not in told:
                _variant(composer, composed, overrides, params)
        except UserError as error:
            told.add(frozenset(params))
            point = ", ".join(f"{key}={value}" for key, value in params.items())
            yield (
                f"search space {space.source} allows {point}, but {error.faults[0].path} {error.faults[0].message}; such trials "
                "are used up as infeasible: search the one key only where the other allows it (when:)"
            )


def _load_data(config: Config, faults: list[Fault], origin: Origins) -> Splits | None:
    """None where the data cannot be read, with the reasons added to `faults`, or where a download would come too early:
    a data set of the hub is fetched only once all else is right."""
    if any(fault.path.startswith("dataset.") for fault in faults) or not config.dataset.path:
        return None
    if faults and _HUB_ID.fullmatch(config.dataset.path) and not Path(config.dataset.path).exists():
        return None
    try:
        return load_splits(config.dataset, said=origin.chosen)
    except UserError as error:
        faults += [_with_origin(fault, origin) for fault in error.faults]
        return None


def _schedule_faults(
    config: Config, space: Space, configs: Sequence[Config], *, rows: int, origin: Origins
) -> Iterator[Fault]:
    """The longest trial there can be against what can be counted, warmup against the shortest one, and pruning against the
    fewest evaluations."""
    if too_many := list(uncountable(configs, rows=rows)):
        yield from (_with_origin(fault, origin) for fault in too_many)
        return
    shortest = fewest_steps(configs, rows=rows)
    warmup = config.optimizer.warmup_steps
    if WARMUP not in space and warmup_steps(shortest, warmup) >= shortest:
        trial = "the shortest trial of this search" if len(space) else "this trial"
        rule = f"is {warmup:g}, but must be below the {shortest} step{'s' if shortest > 1 else ''} of {trial}"
        tenth = f"{WARMUP}=0.1 for a tenth of each trial's steps"
        mended = tenth if warmup_steps(shortest, 0.1) < shortest else f"{WARMUP}=0"
        yield Fault(WARMUP, f"{rule}; type {mended}", origin(WARMUP))
    yield from (_with_origin(fault, origin) for fault in long_decays(configs, shortest))
    if (
        config.study.pruner != "none"
        and config.study.n_trials > 1
        and all(len(evaluation_steps(rows, config)) < 2 for config in configs)
    ):
        rule = f"is {config.study.pruner}, but each trial is evaluated once, at its end; type study.pruner=none"
        yield Fault("study.pruner", rule, origin("study.pruner"))


def _word_faults(configs: Sequence[Config], splits: Splits) -> list[Fault]:
    prompts = (config.prompt for config in configs if config.prompt is not None)
    return list(dict.fromkeys(fault for prompt in prompts for fault in word_faults(prompt, splits.labels)))


def _own_metric_faults(config: Config, splits: Splits) -> list[Fault]:
    labels = np.asarray(splits.validation.labels, dtype=np.int64)
    return trial_faults(config.dataset, labels, len(splits.labels))


def _idle_evaluations(
    config: Config, space: Space, corners: Sequence[Config], *, rows: int, origin: Origins
) -> Iterator[str]:
    """Where evaluations within the first epoch come from the default alone, and there is no trial that they could stop."""
    key = "trainer.eval_strategy"
    if config.trainer.eval_strategy != "early" or key in space or origin(key):
        return
    if all(evaluation_steps(rows, corner) == evaluation_steps(rows, _by_epoch(corner)) for corner in corners):
        return
    study = config.study
    most = trials_of_each(study, space)
    if most > never_stopped(study, most):
        return
    reason, unless = "study.pruner is none", ""
    if study.pruner != "none":
        trials = f"{most} trial{'s' if most > 1 else ''}{f' of each {study.compare_by}' if study.compare_by else ''}"
        reason, unless = (
            f"of {trials} study.pruner={study.pruner} stops none",
            ", unless a larger study.n_trials is to follow",
        )
    yield f"{key} is early, but {reason}: evaluations within the first epoch only cost time; set {key}=epoch{unless}"


def _by_epoch(config: Config) -> Config:
    return config.model_copy(update={"trainer": config.trainer.model_copy(update={"eval_strategy": "epoch"})})


def _new(found: Sequence[Fault], known: Sequence[Fault]) -> list[Fault]:
    """Without faults of keys that are known to be wrong: those were checked with a default in place of the value."""
    wrong = {fault.path for fault in known}
    return [fault for fault in found if fault.path not in wrong]
