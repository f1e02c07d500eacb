"""Estimates of a study's memory and of a trial's time, from a few timed steps."""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import torch
from datasets import Dataset

from sweep.config.budget import BudgetConfig
from sweep.config.optimizers import OPTIMIZERS
from sweep.config.schema import Config
from sweep.config.steps import evaluation_steps, total_steps
from sweep.data.splits import Rows, Splits
from sweep.data.tokenise import TokenisedData
from sweep.engine import cached_head, memory
from sweep.engine.protocol import StudyCallbacks
from sweep.engine.trainer import Trained, trained
from sweep.errors import Fault, UserError, first_line
from sweep.launch.workspace import Workspace
from sweep.model.base_model_cache import BaseModelCache
from sweep.model.source import find
from sweep.plan.plan import Plan
from sweep.records.final import Parameters
from sweep.records.memory import gib
from sweep.records.trial import Step, TrialPlan, Verdict
from sweep.study.view import clock

_STEPS = 6  # timed steps, of which the median time counts: the first ones are slower
_MOST_FLOPS = {"cpu": 1e12, "cuda": 1e15}  # in all timed steps: about ten seconds
_TOKENS = 64  # assumed tokens of a row, by which the number of timed rows is chosen


@dataclass(frozen=True, slots=True)
class Expected:
    """The expected cost of one trial that runs alone.

    `train_row` and `eval_row` are the seconds of one row, `ahead_row` those that a frozen base
    takes for one row before the first step; `peak` is the largest memory in use, in bytes.
    """

    device: str
    train_row: float
    eval_row: float
    ahead_row: float
    peak: int

    def seconds(self, config: Config, splits: Splits) -> float:
        """Return the expected seconds of a trial with this config."""
        rows, held_out = len(splits.train), len(splits.validation)
        trained_rows = self.train_row * rows * config.trainer.num_train_epochs
        evaluated = self.eval_row * held_out * len(evaluation_steps(rows, config.trainer))
        return (trained_rows + evaluated + self.ahead_row * (rows + held_out)) * max(len(splits.folds), 1)


def memory_faults(config: Config, account: Parameters, device: torch.device) -> list[Fault]:
    """Return a fault if weights, gradients and optimizer states alone need more memory than the
    machine has."""
    there = memory.capacity(device)
    if _needed(config, account) <= there:
        return []
    return [_too_large(config, account, f"{device.type} has {gib(there)} in all")]


def memory_notes(config: Config, account: Parameters, device: torch.device) -> list[str]:
    """Return a note if weights, gradients and optimizer states need more than the free memory."""
    there = memory.free(device)
    if not there < _needed(config, account) <= memory.capacity(device):
        return []
    fault = _too_large(config, account, f"only {gib(there)} of {device.type} are free now")
    return [f"{fault.path} {fault.message}"]


def expected(workspace: Workspace, config: Config, account: Parameters) -> Expected | str:
    """Return an estimate from a few steps of a config on a few of its rows, or why there is none.

    Nothing is kept of the training.
    """
    device = workspace.base_models.device
    try:
        if not find(config.model).at_hand and config.model.init == "pretrained":
            return "the weights are not here yet"
        if _needed(config, account) > memory.free(device):
            return "the memory that is free now does not hold the model"
        rows = _rows_timed(config, account, device)
        if rows == 0:
            return f"a single row takes long on {device.type} with a model of this size"
        return _timed(config, workspace.splits, device, rows)
    except UserError as error:
        return str(error.faults[0])
    except (RuntimeError, MemoryError) as error:
        if not memory.out_of_memory(error):
            raise
        return f"memory ran out: {first_line(error)}"


def estimate_lines(plan: Plan, found: Expected | str) -> list[str]:
    """Return the lines of a plan that state the expected time and memory."""
    if isinstance(found, str):
        return [f"expected time and memory: not known, for {found}"]
    study = plan.config.study
    each = sorted(found.seconds(corner, plan.splits) for corner in plan.corners)
    least, most = clock(each[0]), clock(each[-1])
    span = most if least == most or each[-1] < 1.1 * each[0] else f"{least} to {most}"
    lines = [
        f"expected time, by {_STEPS} steps that were timed on {found.device} as busy as it is now: about {span} a trial"
    ]
    if study.n_trials > 1:
        less = "training several at once" + (" and stopping weak ones" if study.pruner != "none" else "")
        whole = f"{study.n_trials} trials one after the other take at most about {clock(study.n_trials * each[-1])}"
        lines.append(f"  {whole}; {less} takes less, and retraining the winner takes another")
    return [
        *lines,
        *(f"  note: study.budget.{key} is smaller than one trial" for key in _too_small(study.budget, each[0])),
        f"expected memory: about {gib(found.peak)} for one trial at a time",
    ]


def _too_small(budget: BudgetConfig, seconds: float) -> list[str]:
    """Return the keys of limits that the shortest trial, of so many seconds, uses up."""
    limits = {"seconds": budget.seconds, "device_hours": budget.device_hours and budget.device_hours * 3600}
    return [key for key, limit in limits.items() if limit is not None and limit < seconds]


def _timed(config: Config, splits: Splits, device: torch.device, rows: int) -> Expected:
    """Return an estimate from steps of so many rows. Raises UserError where the training fails."""
    held_out = _some(splits.validation, max(rows, min(config.trainer.per_device_eval_batch_size, 8 * rows)))
    few = replace(splits, train=_some(splits.train, _STEPS * rows), validation=held_out, test=None)
    trial = _few_steps(config, len(few.train), rows)
    moments: list[float] = []

    def on_step(step: Step) -> Verdict:
        if step.step > 0:
            moments.append(time.perf_counter())
        return Verdict.CONTINUE

    with tempfile.TemporaryDirectory(prefix="sweep-") as folder:
        base_models, data = BaseModelCache(device.type), TokenisedData(few, Path(folder))
        with base_models.model(trial.settings, splits.labels):
            pass  # the base is loaded, and kept
        memory.reset_peaks(device)
        before = memory.in_use(device)
        study = StudyCallbacks(on_step, lambda _: Verdict.CONTINUE)
        with trained(trial, base_models=base_models, data=data, study=study) as done:
            if done.failed is not None or len(moments) < 2:
                why = done.failed.message if done.failed else "there are too few rows"
                raise UserError.of("", f"a trial of {_STEPS} steps failed: {why}")
            tokens = data.validation(
                done.tokenizer, config.dataset.max_length, base_models.prompt(trial.settings, splits.labels)
            )
            forward = _forward_seconds(done, tokens)
        peak = memory.peak(device)
    share = config.trainer.per_device_train_batch_size / rows
    # A cached head: the base reads each row once, and an evaluation runs the head alone.
    ahead = cached_head.suits(trial.settings)
    return Expected(
        memory.device_name(device),
        train_row=statistics.median(after - earlier for earlier, after in pairwise(moments)) / rows,
        eval_row=0.0 if ahead else forward,
        ahead_row=forward if ahead else 0.0,
        peak=before + int(max(peak - before, 0) * share),
    )


def _few_steps(config: Config, rows: int, batch: int) -> TrialPlan:
    """Return a trial of one epoch over so many rows, without warmup and evaluations."""
    trainer = config.trainer.model_copy(update={
        "num_train_epochs": 1, "per_device_train_batch_size": batch, "gradient_accumulation_steps": 1,
        "eval_strategy": "no", "eval_steps": None, "early_stopping_patience": None,
    })  # fmt: skip
    optimizer = config.optimizer.model_copy(update={"warmup_steps": 0})
    short = config.model_copy(update={"trainer": trainer, "optimizer": optimizer})
    return TrialPlan(0, {}, short, total_steps(rows, trainer), "")


def _forward_seconds(done: Trained, tokens: Dataset) -> float:
    """Return the seconds of a forward pass by row, of the second pass over the rows."""
    done.predict(tokens)
    began = time.perf_counter()
    done.predict(tokens)
    return (time.perf_counter() - began) / len(tokens)


def _rows_timed(config: Config, account: Parameters, device: torch.device) -> int:
    """Return the rows of a timed batch: the config's number, or fewer if that takes long; 0 if a
    single row takes long."""
    of_one = 6.0 * account.total * min(config.dataset.max_length or _TOKENS, 4 * _TOKENS) * _STEPS
    return min(config.trainer.per_device_train_batch_size, int(_MOST_FLOPS[device.type] / of_one))


def _some(rows: Rows, most: int) -> Rows:
    """Return a fixed random sample, since files are often sorted by label or by length."""
    chosen = sorted(random.Random(0).sample(range(len(rows)), min(most, len(rows))))
    pairs = rows.pairs
    return Rows(
        tuple(rows.texts[index] for index in chosen),
        None if pairs is None else tuple(pairs[index] for index in chosen),
        tuple(rows.labels[index] for index in chosen),
    )


def _too_large(config: Config, account: Parameters, limit: str) -> Fault:
    needs = f"needs {gib(_needed(config, account))} for weights, gradients and optimizer states, but {limit}"
    rank = getattr(config.adapter, "r", None)
    if rank is not None and _states(config, account) > account.bytes / 2:
        return Fault("adapter.r", f"is {rank}, which {needs}; use a smaller rank")
    name = config.model.path or config.model.config
    return Fault("model.path", f"is {name}, which {needs}; use a smaller model, or adapter=qlora")


def _needed(config: Config, account: Parameters) -> int:
    return account.bytes + _states(config, account)


def _states(config: Config, account: Parameters) -> int:
    """Return the bytes beside the weights: for each trained weight a float32 gradient and the
    optimizer's states."""
    return int(account.trainable * (4 + OPTIMIZERS[config.optimizer.name].state_bytes))
