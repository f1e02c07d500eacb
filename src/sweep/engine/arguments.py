"""Train settings → `transformers.TrainingArguments`, and the settings that the device at hand
cannot provide."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from transformers import SchedulerType, TrainingArguments

from sweep.config.names import OptimizerName
from sweep.config.optimizers import BY_METRIC, optim_text, schedule_arguments
from sweep.config.schema import OptimizerConfig, TrainerConfig
from sweep.config.settings import TrainSettings
from sweep.engine.optimizers import missing
from sweep.engine.warning import warn_once
from sweep.errors import Fault

_UNPAGED: Mapping[OptimizerName, OptimizerName] = {
    "paged_adamw_32bit": "adamw_torch", "paged_adamw_8bit": "adamw_8bit", "paged_ademamix_32bit": "ademamix",
    "paged_ademamix_8bit": "ademamix_8bit", "paged_lion_32bit": "lion_32bit", "paged_lion_8bit": "lion_8bit",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Optimizer:
    """An optimizer for the Trainer. `name` is one of `transformers.training_args.OptimizerNames`;
    `warning` says why it is not the configured one."""

    name: OptimizerName
    warning: str = ""


def choose_optimizer(name: OptimizerName, device: torch.device) -> Optimizer:
    """Return the optimizer asked for, or the nearest that the device has: the same arithmetic
    without paging."""
    nearest = _UNPAGED.get(name)
    if nearest is None or (device.type == "cuda" and _has_bitsandbytes()):
        return Optimizer(name)
    if not _has_bitsandbytes():
        if not name.startswith("paged_adamw"):
            return Optimizer(name)
        return Optimizer("adamw_torch", f"is {name}, which needs bitsandbytes, and that is not installed")
    return Optimizer(nearest, f"is {name}, which pages between GPU and host memory, but the device is {device.type}")


def device_faults(settings: TrainSettings, device: torch.device | str) -> list[Fault]:
    """Return a fault for each setting that the device cannot provide; nothing is loaded to find
    out."""
    device = torch.device(device)
    return [
        Fault(path, message) for path, message in (*_precision_faults(settings, device), *_lacking(settings, device))
    ]


def _precision_faults(settings: TrainSettings, device: torch.device) -> Iterator[tuple[str, str]]:
    trainer = settings.trainer
    if trainer.fp16 and device.type == "cpu":
        yield "trainer.fp16", "is true, but the device is cpu, which cannot train in fp16; type trainer.fp16=false"
    if trainer.fp16 and settings.adapter.trains == "everything" and settings.model.dtype == "float16":
        rule = "gradients of weights that are fp16 themselves cannot be scaled; use model.dtype=float32"
        yield "trainer.fp16", f"is true, with adapter.method full and model.dtype float16, but {rule}"
    if trainer.in_bf16 and device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        name = torch.cuda.get_device_name(device)
        yield (
            "trainer.bf16",
            f"is true, but {name} has no bf16, which needs compute capability 8.0; type trainer.bf16=auto",
        )


def _lacking(settings: TrainSettings, device: torch.device) -> Iterator[tuple[str, str]]:
    chosen = choose_optimizer(settings.optimizer.name, device)
    if chosen.warning and settings.optimizer.on_missing == "refuse":
        yield "optimizer.name", f"{chosen.warning}; use adamw_torch, or optimizer.on_missing=fallback"
    elif lacking := missing(chosen.name, device):
        yield "optimizer.name", f"{lacking}; or type optimizer.name=adamw_torch"


def training_arguments(settings: TrainSettings, device: torch.device, folder: Path) -> TrainingArguments:
    """Return the Trainer's arguments. `folder` is private to the trial; nothing is written there,
    but the Trainer needs one.

    `sweep.engine.trial_state` evaluates, keeps the best weights and stops early, so that the
    Trainer's own schedules for that are off. The loss and its smoothing are in
    `sweep.engine.loss`; the model sets up gradient checkpointing.
    """
    trainer, optimizer = settings.trainer, settings.optimizer
    chosen = choose_optimizer(optimizer.name, device)
    if chosen.warning:
        warn_once(f"optimizer.name {chosen.warning}: using {chosen.name} instead")
    by_metric = optimizer.lr_scheduler_type in BY_METRIC
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=trainer.per_device_train_batch_size,
        per_device_eval_batch_size=trainer.per_device_eval_batch_size,
        num_train_epochs=trainer.num_train_epochs,
        gradient_accumulation_steps=trainer.gradient_accumulation_steps,
        max_grad_norm=trainer.max_grad_norm,
        train_sampling_strategy=trainer.train_sampling_strategy,
        bf16=trainer.in_bf16,
        fp16=trainer.fp16,
        optim=chosen.name,
        learning_rate=optimizer.learning_rate,
        weight_decay=optimizer.weight_decay,
        warmup_steps=optimizer.warmup_steps,
        optim_args=optim_text(optimizer),
        optim_target_modules=_target_modules(optimizer),
        lr_scheduler_type="constant" if by_metric else optimizer.lr_scheduler_type,
        lr_scheduler_kwargs=schedule_arguments(optimizer),
        adam_beta1=optimizer.adam_beta1,
        adam_beta2=optimizer.adam_beta2,
        adam_epsilon=optimizer.adam_epsilon,
        seed=trainer.seed,
        use_cpu=device.type == "cpu",
        logging_steps=trainer.logging_steps,
        logging_nan_inf_filter=False,  # True would replace a NaN by the mean of earlier losses
        eval_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,  # the collator drops unused columns, and the sampler needs `length`
        dataloader_num_workers=0,
    )
    if by_metric:  # TrainingArguments refuses it without evaluations; our callback gives it the loss
        arguments.lr_scheduler_type = SchedulerType(optimizer.lr_scheduler_type)
        arguments.metric_for_best_model = "loss"
    arguments._n_gpu = min(arguments.n_gpu, 1)  # the Trainer would spread each batch over every GPU it sees
    return arguments


def _target_modules(optimizer: OptimizerConfig) -> list[str] | str | None:
    given = optimizer.optim_target_modules
    return list(given) if isinstance(given, tuple) else given


def autocast(trainer: TrainerConfig, device: torch.device) -> torch.autocast:
    """Return the autocast context of a trial, as the Trainer sets it."""
    found = trainer.autocast_type
    return torch.autocast(device.type, getattr(torch, found or "bfloat16"), enabled=found is not None)


@cache
def _has_bitsandbytes() -> bool:
    return importlib.util.find_spec("bitsandbytes") is not None
