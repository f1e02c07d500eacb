"""Advice for the user: allowed settings that have no effect, cost time or waste trials."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import islice

from sweep.config.domains import Choices
from sweep.config.metrics import short_name
from sweep.config.optimizers import OPTIMIZERS
from sweep.config.own_files import never_read
from sweep.config.schema import Config, Scalar, StudyConfig
from sweep.config.space import Space
from sweep.config.steps import warmup_steps
from sweep.errors import UserError
from sweep.plan.experiment import Experiment
from sweep.plan.lengths import WARMUP, TrialLengths
from sweep.plan.pausing import learns_too_late, stopped_for_good
from sweep.plan.stop_notes import idle_stop
from sweep.search.pruners import never_stopped, trials_of_each

_MOST_PAIRS = 2_000  # of values of two keys; composing and checking a pair takes some milliseconds
# Ends of the names of metrics that are better when lower.
_LOWER_IS_BETTER = re.compile(
    r"(loss|error|perplexity|brier|(?:^|[/_])(nll|ece|mce|mse|rmse|mae|cost|distance|regret))(_score)?$", re.IGNORECASE
)
_DEFAULT_TRAINER = ("", "conf/trainer/default.yaml")  # the origins of a trainer's value that the user did not set


def notes(experiment: Experiment, lengths: TrialLengths, scored: int) -> Iterator[str]:
    """Yield each note on an experiment without faults, whose trials are scored on so many rows."""
    config, space, study = experiment.config, experiment.space, experiment.config.study
    searched = study.n_trials > len(study.enqueue)
    yield from never_read(experiment.composer.config_dirs)
    yield from without_effect(config, space, experiment.origin.chosen)
    yield from doubtful_direction(config)
    yield from weighed_twice(config, space)
    yield from equal_trials(study, space)
    yield from not_learnt(study, space)
    yield from idle_stop(lengths.corners, space, scored)
    yield from unfit_pairs(experiment) if searched else ()
    yield from cut_warmups(config, space, lengths)
    yield from long_warmups(config, lengths if searched else TrialLengths([config], lengths.rows))
    yield from stopped_for_good(lengths.corners, space, scored)
    yield from learns_too_late(lengths.corners, space, scored)
    if experiment.origin("trainer.eval_strategy") in _DEFAULT_TRAINER:
        yield from idle_evaluations(config, space, lengths)


def not_searched(fixed: Mapping[str, Scalar]) -> Iterator[str]:
    """Yield a note on the searched keys that the command line sets, with their values."""
    if fixed:
        said = [f"{key} is {value}" for key, value in fixed.items()]
        yield f"{' and '.join(said)}, from the command line, and {'are' if len(said) > 1 else 'is'} not searched"


def without_effect(config: Config, space: Space, said: Callable[[str], bool]) -> Iterator[str]:
    """Yield a note for each setting that keeps others, set by the user, without effect.

    `said` returns whether the user set a key, and not a config that ships. A setting that is
    searched may hold in no trial, and gives no note.
    """
    for causes, keys, reason in _causes(config):
        given = [key for key in keys if said(key)]
        if given and not any(cause in space for cause in causes):
            one = len(given) == 1
            named = given[0] if one else f"{', '.join(given[:-1])} and {given[-1]}"
            yield f"{named} {'has' if one else 'have'} no effect: {reason}"


def _causes(config: Config) -> Iterator[tuple[tuple[str, ...], tuple[str, ...], str]]:
    """Yield the keys that decide, the keys that they keep without effect, and the reason."""
    dataset = config.dataset
    if config.adapter.quantization == "none":
        keys = ("adapter.double_quantization", "adapter.compute_dtype")
        reason = "adapter.quantization is none, so that the base is not quantised (adapter=qlora)"
        yield ("adapter", "adapter.quantization"), keys, reason
    if config.model.init == "pretrained":
        yield (
            ("model", "model.init"),
            ("model.config",),
            "model.init is pretrained, and the config is that of model.path",
        )
    else:
        yield (
            ("model", "model.init"),
            ("model.gguf_file", "model.revision"),
            "model.init is random, and no weights are read",
        )
    if dataset.validation_split is not None:
        cut = ("dataset.validation_ratio", *(("dataset.stratify",) if dataset.test_ratio is None else ()))
        yield (
            (),
            cut,
            f"dataset.validation_split is {dataset.validation_split}, so that nothing is cut off train",
        )
    if dataset.folds is not None:
        yield (
            (),
            ("dataset.validation_ratio",),
            f"dataset.folds is {dataset.folds}, and each row of train is scored once",
        )
        keys = ("study.refit", "trainer.save_best")
        yield (), keys, f"dataset.folds is {dataset.folds}: the winner is trained on all rows, and that model is kept"
    if dataset.time_column is not None:
        yield (), ("dataset.stratify",), f"dataset.time_column is {dataset.time_column}: the newest rows are held out"
    if dataset.label_columns:
        yield (), ("dataset.label_column",), "dataset.label_columns names the columns of the labels"
    if OPTIMIZERS[config.optimizer.name].alone.startswith("takes its step"):
        reason = f"optimizer.name {config.optimizer.name} takes its step within the backward pass, before gradients are clipped"
        yield ("optimizer", "optimizer.name"), ("trainer.max_grad_norm",), reason
    if config.study.snapshots == "never":
        yield (), ("study.snapshot_every",), "study.snapshots is never"
    if config.launcher.name == "inline":
        yield (), ("launcher.wait",), "launcher is inline: trials run in this process, and no worker is waited for"
    if config.tracker.name == "none":
        names = ("mode", "project", "entity", "tags", "finish_timeout", "max_wait")
        yield (), tuple(f"tracker.{name}" for name in names), "tracker is none, and nothing is tracked"


def doubtful_direction(config: Config) -> Iterator[str]:
    """Yield a note where a metric of the user's own is maximised, and its name says that lower is
    better. A metric of the task in the wrong direction is a fault."""
    study, dataset = config.study, config.dataset
    own = study.metric.removeprefix("eval/") in map(short_name, dataset.own_metrics)
    if own and study.direction == "maximize" and _LOWER_IS_BETTER.search(study.metric):
        yield (
            f"study.direction is maximize, but {study.metric} has the name of a metric that is better when lower; "
            "if it is one, type study.direction=minimize"
        )


def weighed_twice(config: Config, space: Space) -> Iterator[str]:
    """Yield a note where rare labels are made up for in two ways at once."""
    trainer, keys = config.trainer, ("trainer.class_weights", "trainer.logit_adjustment_tau")
    if (
        trainer.class_weights == "balanced"
        and trainer.logit_adjustment_tau > 0
        and not any(key in space for key in keys)
    ):
        rule = f"trainer.class_weights is balanced and trainer.logit_adjustment_tau is {trainer.logit_adjustment_tau:g}"
        yield f"{rule}: each makes up for rare labels by itself, and both together for more than that; use one of them"


def equal_trials(study: StudyConfig, space: Space) -> Iterator[str]:
    """Yield a note where nothing is searched, so that all trials are the same training."""
    if not len(space) and study.n_trials > 1:
        yield (
            f"no key is searched: all {study.n_trials} trials have the same values and the same seed; "
            "type study.n_trials=1, or name a search space (study.space)"
        )


def not_learnt(study: StudyConfig, space: Space) -> Iterator[str]:
    """Yield a note on the searched keys that the sampler draws at random throughout."""
    conditional = [parameter.key for parameter in space if parameter.when]
    chosen = [parameter.key for parameter in space if isinstance(parameter.domain, Choices)]
    keys = {"gp": conditional, "cmaes": [*dict.fromkeys([*chosen, *conditional])]}.get(study.sampler, [])
    if keys:
        what = "choices and keys with conditions" if study.sampler == "cmaes" else "keys with conditions"
        yield f"study.sampler is {study.sampler}, which draws {what} at random: {', '.join(keys)}; tpe learns them too"


def unfit_pairs(experiment: Experiment) -> Iterator[str]:
    """Yield a note for each two searched keys with values that break a rule together.

    The note names the first such values.
    """
    noted: set[frozenset[str]] = set()
    space = experiment.space
    for params in islice(space.pairs(), _MOST_PAIRS):
        try:
            if frozenset(params) not in noted:
                experiment.at(params)
        except UserError as error:
            noted.add(frozenset(params))
            point = ", ".join(f"{key}={value}" for key, value in params.items())
            yield (
                f"search space {space.source} allows {point}, but {error.faults[0].path} {error.faults[0].message}; such trials "
                "are used up as infeasible: search the one key only where the other allows it (when:)"
            )


def cut_warmups(config: Config, space: Space, lengths: TrialLengths) -> Iterator[str]:
    """Yield a note where the search may ask for a warmup that `cut_warmup` cuts."""
    if WARMUP not in space:
        return
    steps = lengths.shortest
    known = [float(value) for point in config.study.enqueue if isinstance(value := point.get(WARMUP), int | float)]
    most = max(
        [*known, *(corner.optimizer.warmup_steps for corner in lengths.corners)],
        key=lambda one: warmup_steps(steps, one),
    )
    if warmup_steps(steps, most) >= steps:
        share = "; search a share of the steps, such as {low: 0.0, high: 0.3}, or type " + f"{WARMUP}=0.1"
        yield (
            f"{WARMUP} is searched up to {most:g}, but the shortest trial of this search has {steps:,} "
            f"step{'s' if steps > 1 else ''}: a warmup as long as its trial is cut to one step less, and the trial's record says so"
            f"{share if warmup_steps(steps, 0.3) < steps else ''}"
        )


def long_warmups(config: Config, lengths: TrialLengths) -> Iterator[str]:
    """Yield a note where warmup takes more than a third of a trial.

    The trials are the shortest one of the search, and that of the config as it stands.
    """
    shortest = lengths.shortest
    longest = max(lengths.corners, key=lambda corner: warmup_steps(shortest, corner.optimizer.warmup_steps))
    cases = (
        (config, lengths.total(config), "this trial"),
        (longest, shortest, "the shortest trial of this search"),
    )
    found: dict[tuple[str, int], str] = {}
    for corner, total, trial in cases:
        value = corner.optimizer.warmup_steps
        steps = warmup_steps(total, value)
        said = f"is {value:g}" + (f", which is {steps} steps" if 0 < value < 1 else "")
        long = value > 1 / 3 if value < 1 else steps > total / 3  # a small share of few steps is rounded up
        if long and steps < total:
            found.setdefault((said, total), f"{WARMUP} {said}, more than a third of the {total} steps of {trial}")
    yield from list(found.values())[-1:]


def idle_evaluations(config: Config, space: Space, lengths: TrialLengths) -> Iterator[str]:
    """Yield a note where evaluations within the first epoch can stop no trial."""
    key, study = "trainer.eval_strategy", config.study
    if config.trainer.eval_strategy != "early" or key in space:
        return
    trainers = [corner.trainer for corner in lengths.corners]
    by_epoch = [trainer.model_copy(update={"eval_strategy": "epoch"}) for trainer in trainers]
    if [*map(lengths.evaluations, trainers)] == [*map(lengths.evaluations, by_epoch)]:
        return
    most = trials_of_each(study, space)
    if most > never_stopped(study, most):
        return
    reason, unless = "study.pruner is none", ""
    if study.pruner != "none":
        trials = f"{most} trial{'s' if most > 1 else ''}{f' of each {study.compare_by}' if study.compare_by else ''}"
        reason = f"of {trials} study.pruner={study.pruner} stops none"
        unless = ", unless a larger study.n_trials is to follow"
    yield f"{key} is early, but {reason}: evaluations within the first epoch only cost time; set {key}=epoch{unless}"
