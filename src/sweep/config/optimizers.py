"""The arguments of transformers' optimizers and schedules.

Names are those of `TrainingArguments`. The tables hold what the Trainer reads, so that a plan can
check a config without importing transformers. The tests compare them with transformers' own code.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Literal

from sweep.config.names import OptimizerName, ScheduleName
from sweep.config.schema import OptimizerConfig, Scalar
from sweep.errors import closest

Kind = Literal["number", "count", "flag"] | tuple[str, ...]  # a tuple lists the allowed texts

ARGUMENTS, KEYWORDS = "optimizer.optim_args", "optimizer.lr_scheduler_kwargs"
_SAID = {"number": "a finite number, 0 or more", "count": "a whole number, 0 or more", "flag": "true or false"}
_TRUTHS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True, slots=True)
class Package:
    """An optional package. `module` is imported; `install` is what pip installs."""

    module: str
    install: str


@dataclass(frozen=True, slots=True)
class OptimizerTraits:
    """Properties of an optimizer.

    `arguments` are those that the Trainer reads from `optim_args`. `betas`, `epsilon` and `decays`
    say whether `adam_beta1` and `adam_beta2`, `adam_epsilon` and `weight_decay` reach it;
    `targets` that it needs `optim_target_modules`. `alone` is the reason why only the Trainer can
    drive it. `unsaved` is the reason why trainings with it have no snapshots. `state_bytes` is the
    least that it keeps for each trained weight.
    """

    arguments: Mapping[str, Kind] = field(default_factory=dict)
    package: Package | None = None
    betas: bool = True
    epsilon: bool = True
    decays: bool = True
    targets: bool = False
    cuda: bool = False
    other_device: str = ""
    alone: str = ""
    unsaved: str = ""
    state_bytes: float = 8


_BITSANDBYTES = Package("bitsandbytes", "bitsandbytes")
_GALORE, _APOLLO = Package("galore_torch", "galore-torch"), Package("apollo_torch", "apollo-torch")
_LOMO, _TORCHAO = Package("lomo_optim", "lomo-optim"), Package("torchao", "torchao")
_SCHEDULE_FREE = Package("schedulefree", "schedulefree")

_MIX: Mapping[str, Kind] = {
    **dict.fromkeys(("beta1", "beta2", "beta3", "alpha", "eps"), "number"), "t_alpha": "count", "t_beta3": "count",
}  # fmt: skip
_RMSPROP: Mapping[str, Kind] = {"momentum": "number", "alpha": "number", "eps": "number", "centered": "flag"}
_DTYPE: Kind = ("float32", "bfloat16", "float16")
_LOW_RANK: Mapping[str, Kind] = {"rank": "count", "update_proj_gap": "count", "scale": "number"}
_FREE: Mapping[str, Kind] = {"weight_lr_power": "number", "r": "number"}
_TORCHAO_ARGUMENTS: Mapping[str, Kind] = {"block_size": "count", "bf16_stochastic_round": "flag"}

_PROJECTED = "projects the gradients of the modules in optimizer.optim_target_modules"
_LAYERWISE = "takes its step within the backward pass, layer by layer"
_FUSED = "takes its step within the backward pass"
_OWN_OBJECTS = "keeps objects in its state that are neither tensors nor plain values"
_OUTSIDE = "keeps its state outside of the optimizer that the Trainer knows"
_TWO_SETS = "keeps other weights for training than for evaluating"
_COMPILED = "compiles its step"


def _bnb(
    state_bytes: float, arguments: Mapping[str, Kind] | None = None, *, betas: bool = True, epsilon: bool = True
) -> OptimizerTraits:
    return OptimizerTraits(arguments or {}, _BITSANDBYTES, betas=betas, epsilon=epsilon, state_bytes=state_bytes)


def _torchao(state_bytes: float) -> OptimizerTraits:
    return OptimizerTraits(_TORCHAO_ARGUMENTS, _TORCHAO, alone=_COMPILED, unsaved=_OWN_OBJECTS, state_bytes=state_bytes)


def _galore(alone: str, *, cuda: bool = False) -> OptimizerTraits:
    kinds = {**_LOW_RANK, "proj_type": ("std", "reverse_std", "right", "left", "full")}
    return OptimizerTraits(
        kinds, _GALORE, betas=False, epsilon=False, decays=False, targets=True, cuda=cuda, alone=alone,
        unsaved=_OUTSIDE if alone == _LAYERWISE else _OWN_OBJECTS, state_bytes=0,
    )  # fmt: skip


def _apollo(alone: str) -> OptimizerTraits:
    kinds = {
        **_LOW_RANK, "proj": ("random", "svd"), "scale_type": ("channel", "tensor"),
        "proj_type": ("std", "reverse_std", "right", "left"),
    }  # fmt: skip
    unsaved = _OUTSIDE if alone == _LAYERWISE else _OWN_OBJECTS
    return OptimizerTraits(kinds, _APOLLO, decays=False, targets=True, alone=alone, unsaved=unsaved, state_bytes=0)


def _lomo(*, cuda: bool, unsaved: str = "") -> OptimizerTraits:
    return OptimizerTraits(
        {}, _LOMO, betas=False, epsilon=False, decays=False, cuda=cuda, alone=_FUSED, unsaved=unsaved, state_bytes=0
    )


OPTIMIZERS: Mapping[OptimizerName, OptimizerTraits] = {
    "adamw_torch": OptimizerTraits(),
    "adamw_torch_fused": OptimizerTraits(),
    "adamw_torch_xla": OptimizerTraits(other_device="a TPU"),
    "adamw_torch_npu_fused": OptimizerTraits(other_device="an Ascend NPU"),
    "adafactor": OptimizerTraits(betas=False, epsilon=False, state_bytes=0),
    "adamw_anyprecision": OptimizerTraits(
        {"use_kahan_summation": "flag",
         **dict.fromkeys(("momentum_dtype", "variance_dtype", "compensation_buffer_dtype"), _DTYPE)},
        Package("torchdistx", "git+https://github.com/pytorch/torchdistx"), alone="is not tested in a pack",
        unsaved="is not tested with them", state_bytes=4,
    ),
    "adamw_torch_4bit": _torchao(1),
    "adamw_torch_8bit": _torchao(2),
    "ademamix": _bnb(12, _MIX),
    "sgd": OptimizerTraits(
        {"momentum": "number", "dampening": "number", "nesterov": "flag"}, betas=False, epsilon=False, state_bytes=0
    ),
    "adagrad": OptimizerTraits({"lr_decay": "number", "eps": "number"}, betas=False, epsilon=False, state_bytes=4),
    "adamw_bnb_8bit": _bnb(2),
    "adamw_8bit": _bnb(2),
    "ademamix_8bit": _bnb(3, _MIX),
    "lion_8bit": _bnb(1, epsilon=False),
    "lion_32bit": _bnb(4, epsilon=False),
    "paged_adamw_32bit": _bnb(8),
    "paged_adamw_8bit": _bnb(2),
    "paged_ademamix_32bit": _bnb(12, _MIX),
    "paged_ademamix_8bit": _bnb(3, _MIX),
    "paged_lion_32bit": _bnb(4, epsilon=False),
    "paged_lion_8bit": _bnb(1, epsilon=False),
    "rmsprop": OptimizerTraits(_RMSPROP, betas=False, epsilon=False, state_bytes=4),
    "rmsprop_bnb": _bnb(4, _RMSPROP, betas=False, epsilon=False),
    "rmsprop_bnb_8bit": _bnb(1, _RMSPROP, betas=False, epsilon=False),
    "rmsprop_bnb_32bit": _bnb(4, _RMSPROP, betas=False, epsilon=False),
    "galore_adamw": _galore(_PROJECTED),
    "galore_adamw_8bit": _galore(_PROJECTED, cuda=True),
    "galore_adafactor": _galore(_PROJECTED),
    "galore_adamw_layerwise": _galore(_LAYERWISE),
    "galore_adamw_8bit_layerwise": _galore(_LAYERWISE, cuda=True),
    "galore_adafactor_layerwise": _galore(_LAYERWISE),
    "lomo": _lomo(cuda=False),
    "adalomo": _lomo(cuda=True, unsaved=_OUTSIDE),
    "grokadamw": OptimizerTraits(
        dict.fromkeys(
            ("alpha_init", "lamb", "gamma", "grokking_signal_decay_rate", "gradient_clipping"), "number"
        ),
        Package("grokadamw", "grokadamw"), betas=False, epsilon=False, state_bytes=12,
    ),
    "schedule_free_radam": OptimizerTraits(_FREE, _SCHEDULE_FREE, alone=_TWO_SETS),
    "schedule_free_adamw": OptimizerTraits(_FREE, _SCHEDULE_FREE, alone=_TWO_SETS),
    "schedule_free_sgd": OptimizerTraits(
        _FREE, _SCHEDULE_FREE, betas=False, epsilon=False, alone=_TWO_SETS, state_bytes=4
    ),
    "apollo_adamw": _apollo(_PROJECTED),
    "apollo_adamw_layerwise": _apollo(_LAYERWISE),
    "stable_adamw": OptimizerTraits(
        {"decouple_lr": "flag", "max_lr": "number", "kahan_sum": "flag"}, Package("optimi", "torch-optimi")
    ),
}  # fmt: skip

_CYCLES: Mapping[str, Kind] = {"num_cycles": "number"}
_FLOOR: Mapping[str, Kind] = {**_CYCLES, "min_lr": "number", "min_lr_rate": "number"}
_SHAPES: Kind = ("linear", "cosine", "1-sqrt")
_METRIC: Mapping[str, Kind] = {
    "factor": "number", "patience": "count", "threshold": "number", "threshold_mode": ("rel", "abs"), "cooldown": "count",
    "min_lr": "number", "eps": "number",
}  # fmt: skip
SCHEDULES: Mapping[ScheduleName, Mapping[str, Kind]] = {
    "linear": {},
    "cosine": _CYCLES,
    "cosine_with_restarts": {"num_cycles": "count"},
    "polynomial": {"lr_end": "number", "power": "number"},
    "constant": {},
    "constant_with_warmup": {},
    "inverse_sqrt": {"timescale": "count"},
    "reduce_lr_on_plateau": _METRIC,
    "cosine_with_min_lr": _FLOOR,
    "cosine_warmup_with_min_lr": {**_FLOOR, "warmup_lr_rate": "number"},
    "warmup_stable_decay": {
        **_CYCLES, "num_decay_steps": "count", "num_stable_steps": "count", "warmup_type": _SHAPES, "decay_type": _SHAPES,
        "min_lr_ratio": "number",
    },
    "greedy": {
        **_METRIC, "warmup": "count", "max_lr": "number", "smooth": "flag", "window_size": "count", "reset_start": "count",
    },
}  # fmt: skip
_REQUIRED: Mapping[ScheduleName, str] = {"warmup_stable_decay": "num_decay_steps"}
# These schedules follow the loss of each evaluation instead of steps, and have no warmup.
BY_METRIC: tuple[ScheduleName, ...] = ("reduce_lr_on_plateau", "greedy")
# These optimizers warm up by themselves, over a number of steps, and need no schedule.
WARMS_UP: tuple[OptimizerName, ...] = ("schedule_free_adamw", "schedule_free_sgd")
_NO_WARMUP: tuple[ScheduleName, ...] = ("constant", *BY_METRIC)


def needs_trainer(optimizer: OptimizerConfig) -> str:
    """Return the reason why only the Trainer can train with this optimizer and schedule.

    The text is empty where every engine can.
    """
    if reason := OPTIMIZERS[optimizer.name].alone:
        return f"optimizer.name {optimizer.name} {reason}"
    if optimizer.lr_scheduler_type in BY_METRIC:
        return f"optimizer.lr_scheduler_type {optimizer.lr_scheduler_type} goes by the loss of each evaluation"
    return ""


def optim_arguments(optimizer: OptimizerConfig) -> dict[str, Scalar]:
    """Return `optim_args` as typed values, whether it is a mapping or a text.

    A value in a text that is not of its argument's kind stays a text. Raises ValueError where a
    part of the text is not `NAME=VALUE`.
    """
    given = optimizer.optim_args
    if not isinstance(given, str):
        return dict(given or {})
    kinds, found = OPTIMIZERS[optimizer.name].arguments, dict[str, Scalar]()
    for part in given.replace(" ", "").split(",") if given.strip() else ():
        name, sign, value = part.partition("=")
        if not (name and sign and value) or "=" in value:
            raise ValueError(f"has {part!r}, but must be NAME=VALUE, with commas between several")
        if name in found:
            raise ValueError(f"gives {name} twice")
        found[name] = _read(value, kinds.get(name))
    return found


def optim_text(optimizer: OptimizerConfig) -> str | None:
    """Return `optim_args` as `TrainingArguments` takes them."""
    given = optim_arguments(optimizer)
    return ",".join(f"{name}={_spelled(value)}" for name, value in given.items()) or None


def schedule_arguments(optimizer: OptimizerConfig) -> dict[str, Any]:
    """Return `lr_scheduler_kwargs` as a mapping, whether it is a mapping or a text.

    Raises ValueError where the text is no JSON mapping.
    """
    given = optimizer.lr_scheduler_kwargs
    if not isinstance(given, str):
        return dict(given or {})
    try:
        found = json.loads(given)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ValueError(f'is {given!r}, but a text must be a JSON mapping, such as {{"num_cycles": 2}}')
    return found


def optimizer_rules(optimizer: OptimizerConfig) -> Iterator[tuple[str, str]]:
    """Yield key and rule of each value that the optimizer or schedule refuses or ignores."""
    yield from _arguments(optimizer)
    yield from _keywords(optimizer)
    yield from _unread(optimizer)
    yield from _targets(optimizer)
    yield from _warmup(optimizer)


def _arguments(optimizer: OptimizerConfig) -> Iterator[tuple[str, str]]:
    try:
        given = optim_arguments(optimizer)
    except ValueError as error:
        yield ARGUMENTS, str(error)
        return
    kinds = OPTIMIZERS[optimizer.name].arguments
    for name, value in given.items():
        if name in ("weight_decay", "lr", "learning_rate"):
            key = "weight_decay" if name == "weight_decay" else "learning_rate"
            yield f"{ARGUMENTS}.{name}", f"is set, but the Trainer takes optimizer.{key}; set that key"
        elif name not in kinds:
            rule = f"is no argument of {optimizer.name}{closest(name, kinds)}"
            yield f"{ARGUMENTS}.{name}", f"{rule}; there are: {', '.join(kinds) or 'none'}"
        elif rule := _of_kind(kinds[name], value):
            yield f"{ARGUMENTS}.{name}", rule


def _keywords(optimizer: OptimizerConfig) -> Iterator[tuple[str, str]]:
    try:
        given = schedule_arguments(optimizer)
    except ValueError as error:
        yield KEYWORDS, str(error)
        return
    schedule = optimizer.lr_scheduler_type
    kinds = SCHEDULES[schedule]
    for name, value in given.items():
        if name == "mode" and schedule in BY_METRIC:
            yield (
                f"{KEYWORDS}.mode",
                "is set, but the validation loss is what counts, and lower is better; leave it out",
            )
        elif name not in kinds:
            rule = f"is no argument of the schedule {schedule}{closest(name, kinds)}"
            yield f"{KEYWORDS}.{name}", f"{rule}; there are: {', '.join(kinds) or 'none'}"
        elif rule := _of_kind(kinds[name], value):
            yield f"{KEYWORDS}.{name}", rule
    if (needed := _REQUIRED.get(schedule)) and needed not in given:
        rule = f"lacks {needed}, which the schedule {schedule} needs"
        yield KEYWORDS, f"{rule}; type '+{KEYWORDS}.{needed}=100'"


def _unread(optimizer: OptimizerConfig) -> Iterator[tuple[str, str]]:
    traits = OPTIMIZERS[optimizer.name]
    read = {"adam_beta1": traits.betas, "adam_beta2": traits.betas, "adam_epsilon": traits.epsilon,
            "weight_decay": traits.decays}  # fmt: skip
    for name, reaches in read.items():
        value, default = getattr(optimizer, name), OptimizerConfig.model_fields[name].default
        if not reaches and value != default:
            rule = f"is {value:g}, but transformers gives {optimizer.name} none"
            yield f"optimizer.{name}", f"{rule}; leave it at {default:g}"


def _targets(optimizer: OptimizerConfig) -> Iterator[tuple[str, str]]:
    key, wanted = "optimizer.optim_target_modules", OPTIMIZERS[optimizer.name].targets
    if wanted and not optimizer.optim_target_modules:
        yield key, f"must name the linear layers that {optimizer.name} projects; type {key}=all-linear"
    if not wanted and optimizer.optim_target_modules is not None:
        yield key, f"is set, but counts only with GaLore and APOLLO; optimizer.name is {optimizer.name}"


def _warmup(optimizer: OptimizerConfig) -> Iterator[tuple[str, str]]:
    key, warmup, schedule = "optimizer.warmup_steps", optimizer.warmup_steps, optimizer.lr_scheduler_type
    if optimizer.name in WARMS_UP:
        if 0 < warmup < 1:
            yield key, f"is {warmup:g}, a share of the steps, but {optimizer.name} takes a number of steps, such as 10"
    elif schedule in _NO_WARMUP and warmup > 0:
        yield key, f"is {warmup:g}, but the {schedule} schedule has no warmup; use constant_with_warmup"


def _of_kind(kind: Kind, value: object) -> str:
    """Return the rule that the value breaks, or an empty text."""
    match kind:
        case "number":
            right = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value) and value >= 0
        case "count":
            right = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 10**9
        case "flag":
            right = isinstance(value, bool)
        case choices:
            right = isinstance(value, str) and value in choices
    if right:
        return ""
    if isinstance(kind, tuple):
        near = closest(value, kind) if isinstance(value, str) else ""
        return f"is {value!r}, but must be one of: {', '.join(kind)}{near}"
    return f"is {value!r}, but must be {_SAID[kind]}"


def _read(text: str, kind: Kind | None) -> Scalar:
    if kind == "flag":
        return _TRUTHS.get(text.lower(), text)
    if kind not in ("number", "count"):
        return text
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def _spelled(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
