"""The optimizer and the schedule of a config, made as the Trainer makes them, and their faults,
found before any training."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, cast

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from transformers import Trainer, TrainingArguments, get_scheduler
from transformers.optimization import GreedyLR
from transformers.training_args import OptimizerNames
from transformers.utils import logging as transformers_logging

from sweep.config.names import OptimizerName
from sweep.config.optimizers import ARGUMENTS, KEYWORDS, OPTIMIZERS, WARMS_UP, optim_arguments
from sweep.config.schema import OptimizerConfig
from sweep.errors import first_line

_LOOKED_AT = 1_000  # steps of a schedule, at most
_PLATEAU = 50  # evaluations in the trial of a schedule that follows the loss


def missing(name: OptimizerName, device: torch.device) -> str:
    """Return what this machine lacks for the optimizer, as the end of a message; empty where it
    lacks nothing."""
    traits = OPTIMIZERS[name]
    if traits.other_device:
        return f"is {name}, which needs {traits.other_device}, but sweep trains on a CPU or an NVIDIA GPU"
    package = traits.package
    if package is not None and find_spec(package.module) is None:
        return f"is {name}, which needs the package {package.module}, and that is not installed: pip install {package.install}"
    if traits.cuda and device.type != "cuda":
        return f"is {name}, which needs an NVIDIA GPU, but the device is {device.type}"
    return ""


def typed_class(arguments: TrainingArguments, model: nn.Module) -> tuple[Any, dict[str, Any]]:
    """Return the Trainer's optimizer class and its arguments, those of `optim_args` as numbers and
    booleans: the Trainer passes some on as texts, and takes any text, `false` too, for true."""
    kind, options = Trainer.get_optimizer_cls_and_kwargs(arguments, cast(Any, model))
    if arguments.optim_args:
        optimizer = OptimizerConfig(name=_name(arguments), optim_args=arguments.optim_args)
        typed = {name: value for name, value in optim_arguments(optimizer).items() if not isinstance(value, str)}
        options |= {name: value for name, value in typed.items() if name in options}
    return kind, options


def scale_learning_rates(optimizer: Optimizer, model: nn.Module, factors: Mapping[str, float]) -> None:
    """Move the weights whose names hold a key of `factors` into groups of their own, with so many
    times the learning rate. To be called before the schedule is made. The first group keeps the
    learning rate of the config, which is what is logged."""
    names = {id(weight): name for name, weight in model.named_parameters()}
    for group in list(optimizer.param_groups):
        for part, factor in factors.items():
            own = [weight for weight in group["params"] if part in names[id(weight)]]
            if own:
                group["params"] = [weight for weight in group["params"] if part not in names[id(weight)]]
                optimizer.add_param_group({**group, "params": own, "lr": group["lr"] * factor})


def made_schedule(arguments: TrainingArguments, optimizer: Optimizer, steps: int) -> Any:
    """Return the Trainer's schedule over so many steps, warmup included."""
    keywords = cast("dict[str, Any] | None", arguments.lr_scheduler_kwargs)
    return get_scheduler(arguments.lr_scheduler_type, optimizer, arguments.get_warmup_steps(steps), steps, keywords)


def optimizer_faults(
    optimizer: OptimizerConfig, arguments: TrainingArguments, device: torch.device, steps: int
) -> Iterator[tuple[str, str]]:
    """Yield the config key and the rule of what the optimizer's own class refuses, and the
    schedule over so many steps. Both are made for a layer of a few weights; an optimizer that the
    machine lacks is not made."""
    with _quiet():
        refused = "" if missing(_name(arguments), device) else _refusal(lambda: _made(arguments))
        wrong = _refusal(lambda: _looked_at(arguments, steps))
    if refused:
        yield ARGUMENTS if optimizer.optim_args else "optimizer.name", f"with {optimizer.name} {refused}"
    if wrong:
        yield (
            KEYWORDS if optimizer.lr_scheduler_kwargs else "optimizer.lr_scheduler_type",
            (f"with the schedule {optimizer.lr_scheduler_type} {wrong}"),
        )


def _refusal(use: Callable[[], str]) -> str:
    """Return the error that `use` raises, as the end of a message; empty where it raises none. The
    classes come from many packages, each with errors of its own."""
    try:
        return use()
    except (ValueError, ImportError) as error:
        return f"is refused: {first_line(error)}"
    except Exception as error:
        return f"is refused: {type(error).__name__}: {first_line(error)}"


def _name(arguments: TrainingArguments) -> OptimizerName:
    return OptimizerNames(arguments.optim).value


def optimizer_notes(optimizer: OptimizerConfig) -> Iterator[str]:
    if optimizer.name in (*WARMS_UP, "schedule_free_radam") and optimizer.lr_scheduler_type != "constant":
        schedule = f"optimizer.lr_scheduler_type is {optimizer.lr_scheduler_type}"
        yield f"{schedule}, but {optimizer.name} is made to work without a schedule; type optimizer.lr_scheduler_type=constant"


def _made(arguments: TrainingArguments) -> str:
    model = nn.Sequential(nn.Linear(4, 4))
    if arguments.optim_target_modules is not None:  # names of layers are checked once the model is outlined
        arguments.optim_target_modules = "all-linear"
    kind, options = typed_class(arguments, model)
    groups: Any = list(model.parameters())
    for given in ("params", "model", "optimizer_dict"):
        groups = options.pop(given, groups)
    kind(groups, **options)
    return ""


def _looked_at(arguments: TrainingArguments, steps: int) -> str:
    """Return the rule that the schedule breaks; empty if it breaks none."""
    weight, rate = nn.Parameter(torch.zeros(1)), arguments.learning_rate
    optimizer = torch.optim.SGD([weight], lr=rate)
    schedule = made_schedule(arguments, optimizer, steps)
    if isinstance(schedule, LambdaLR):
        share: Callable[[int], float] = schedule.lr_lambdas[0]
        for step in range(0, steps, max(1, steps // _LOOKED_AT)):
            if not (math.isfinite(value := rate * share(step)) and value >= 0):
                return f"gives a learning rate of {value:g} at step {step} of {steps}"
        return ""
    for losses in ([1.0] * _PLATEAU, [-float(loss) for loss in range(_PLATEAU)]):
        for loss in losses:
            schedule.step(loss)
            if not (math.isfinite(value := optimizer.param_groups[0]["lr"]) and value >= 0):
                return f"gives a learning rate of {value:g}"
    if isinstance(schedule, GreedyLR) and schedule.min_lrs[0] > schedule.max_lrs[0]:
        return f"has a min_lr of {schedule.min_lrs[0]:g}, above its max_lr of {schedule.max_lrs[0]:g}"
    return ""


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence packages that print or warn when their optimizers are made; they do so again when
    they train."""
    level, before = transformers_logging.get_verbosity(), logging.root.manager.disable
    transformers_logging.set_verbosity(logging.ERROR)
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
        transformers_logging.set_verbosity(level)
