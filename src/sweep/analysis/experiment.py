"""The experiment: model, adapter, data, search, code and machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sweep.analysis.data import Data, data
from sweep.analysis.facts import Facts
from sweep.config.batch import EFFECTIVE, SPLIT
from sweep.config.loss import LossConfig
from sweep.config.schema import ModelConfig, Scalar, TrainerConfig
from sweep.config.secrets import scrubbed

Weights = Literal["pretrained", "random", "shrunk"]

_OPTIMIZER = (
    "name", "learning_rate", "weight_decay", "warmup_steps", "lr_scheduler_type", "optim_args", "optim_target_modules",
    "lr_scheduler_kwargs",
)  # fmt: skip
_TRAINER = (
    "effective_batch_size", "per_device_train_batch_size", "gradient_accumulation_steps", "num_train_epochs",
    "max_grad_norm", "eval_strategy", "eval_steps", "early_stopping_patience", "bf16", "fp16", "gradient_checkpointing",
    "train_sampling_strategy", "class_weights", "focal_gamma", "logit_adjustment_tau", "label_smoothing_factor",
    "calibration",
)  # fmt: skip

# At their defaults they say nothing.
_LOSS = {name: TrainerConfig.model_fields[name] for name in (*LossConfig.model_fields, "label_smoothing_factor")}


@dataclass(frozen=True, slots=True)
class Setting:
    """A value of a config group; None where it was searched."""

    name: str
    value: Any


@dataclass(frozen=True, slots=True)
class Settings:
    """The values of a config group that are not null. `searched` says that the group was searched
    as a whole."""

    searched: bool
    values: tuple[Setting, ...] = ()


@dataclass(frozen=True, slots=True)
class Model:
    """`weights` are `pretrained`, `random`, or `shrunk`: random weights of a smaller model."""

    path: str
    revision: str
    fingerprint: str
    weights: Weights
    pooling: Settings
    adapter_label: str
    adapter: Settings
    optimizer: Settings
    trainer: Settings


@dataclass(frozen=True, slots=True)
class SearchedKey:
    """The values that a searched key can have: one of `choices`, or a number from `low` to `high`.
    A key is searched only `when` other keys have one of these values."""

    key: str
    choices: tuple[Scalar, ...] | None
    low: float | None
    high: float | None
    step: float | None
    log: bool
    when: Mapping[str, tuple[Scalar, ...]]


@dataclass(frozen=True, slots=True)
class TakenOver:
    """The trials and points that the study took over from the run in `run_dir`: so many
    `trials` for the sampler, and `points` that it tried first; `left_out` trials have points
    that it cannot have. `differs` names the keys in which the experiments differ."""

    run_dir: str
    trials: int
    points: int
    left_out: int
    differs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Search:
    metric: str
    direction: str
    n_trials: int
    sampler: str
    sampler_options: Mapping[str, Any]
    pruner: str
    pruner_options: Mapping[str, Any]
    enqueued: int
    warm_start: tuple[TakenOver, ...]
    seeds: Mapping[str, int]
    space: tuple[SearchedKey, ...]


@dataclass(frozen=True, slots=True)
class Provenance:
    """`commit` is empty where the code was in no git checkout; `diff_lines` counts those of
    uncommitted changes. `devices` are those that trials ran on, `device_asked` is the config's."""

    commit: str
    dirty: bool
    diff_lines: int
    devices: tuple[str, ...]
    device_asked: str
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    started: str
    command: str


@dataclass(frozen=True, slots=True)
class Experiment:
    """`configuration` is the whole config without secrets and published figures."""

    model: Model
    search: Search
    provenance: Provenance
    data: Data
    configuration: Mapping[str, Any]


def experiment(facts: Facts) -> Experiment:
    """Return what the lock file and the config say of the experiment."""
    configuration = {name: part for name, part in scrubbed(facts.config).items() if name != "published"}
    return Experiment(_model(facts), _search(facts), _provenance(facts), data(facts), configuration)


def weights(model: ModelConfig) -> Weights:
    """Return where the model's weights come from."""
    if model.init == "pretrained":
        return "pretrained"
    return "shrunk" if any(size is not None for size in model.shrink.model_dump().values()) else "random"


def _model(facts: Facts) -> Model:
    state = facts.lock.model
    return Model(
        path=state.path,
        revision=state.revision,
        fingerprint=state.fingerprint,
        weights=weights(facts.config.model),
        pooling=_settings(facts, "model", ("pooling",)),
        adapter_label=facts.config.adapter.label,
        adapter=_settings(facts, "adapter", facts.config.adapter.report_keys()),
        optimizer=_settings(facts, "optimizer", _OPTIMIZER),
        trainer=_settings(facts, "trainer", _TRAINER),
    )


def _search(facts: Facts) -> Search:
    study = facts.study
    return Search(
        metric=study.metric,
        direction=study.direction,
        n_trials=study.n_trials,
        sampler=study.sampler,
        sampler_options=study.sampler_options,
        pruner=study.pruner,
        pruner_options=study.pruner_options,
        enqueued=len(study.enqueue),
        warm_start=tuple(
            TakenOver(run.run_dir, len(run.trials), len(run.points), run.left_out, run.differs)
            for run in facts.warm_start
        ),
        seeds=facts.lock.seeds,
        space=tuple(_searched_key(key, spec) for key, spec in facts.lock.space.items()),
    )


def _searched_key(key: str, spec: Any) -> SearchedKey:
    """Return the values of a searched key. A value that is no mapping is the only choice."""
    spec = spec if isinstance(spec, dict) else {"choices": [spec]}
    choices, when = spec.get("choices"), spec.get("when")
    return SearchedKey(
        key=key,
        choices=tuple(choices) if isinstance(choices, list | tuple) else None,
        low=spec.get("low"),
        high=spec.get("high"),
        step=spec.get("step"),
        log=bool(spec.get("log")),
        when={name: _several(wanted) for name, wanted in when.items()} if isinstance(when, dict) else {},
    )


def _several(wanted: Any) -> tuple[Scalar, ...]:
    return tuple(wanted) if isinstance(wanted, list | tuple) else (wanted,)


def _provenance(facts: Facts) -> Provenance:
    git = facts.lock.git
    used = dict.fromkeys(trial.outcome.cost.device for trial in facts.trials if trial.outcome.cost.device)
    return Provenance(
        commit=git.commit,
        dirty=git.dirty,
        diff_lines=len(git.diff.splitlines()),
        devices=tuple(used),
        device_asked=facts.config.trainer.device,
        machine=facts.lock.machine,
        versions=facts.lock.versions,
        started=facts.lock.created,
        command=facts.lock.command,
    )


def _settings(facts: Facts, group: str, names: Sequence[str]) -> Settings:
    if group in facts.searched:
        return Settings(searched=True)
    section, found = getattr(facts.config, group), []
    follows = SPLIT if EFFECTIVE in facts.searched or facts.config.trainer.effective_batch_size else ()
    for name in names:
        setting = getattr(section, name)
        if f"{group}.{name}" in follows:
            continue
        if (name == "compute_dtype" and not _quantised(facts)) or (name == "head_init" and facts.config.prompt):
            continue
        if f"{group}.{name}" in facts.searched:
            found.append(Setting(name, None))
        elif setting is not None and not (name in _LOSS and setting == _LOSS[name].default):
            found.append(Setting(name, setting))
    return Settings(searched=False, values=tuple(found))


def _quantised(facts: Facts) -> bool:
    """Return whether a base may be stored in 4 bits: only such a base is computed in another
    type."""
    return facts.config.adapter.quantization != "none" or "adapter.quantization" in facts.searched
