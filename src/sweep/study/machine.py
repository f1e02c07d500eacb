"""Questions to the machine of the trials before a study, for `Launcher.ask`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from sweep.config.schema import Config
from sweep.config.settings import TrainSettings
from sweep.config.steps import total_steps
from sweep.engine.arguments import device_faults, training_arguments
from sweep.engine.optimizers import optimizer_faults
from sweep.errors import Fault, UserError
from sweep.launch.workspace import Facts, Workspace, facts_of
from sweep.model.base_model_cache import pick_device
from sweep.records.final import Parameters
from sweep.study.estimate import memory_faults, memory_notes


@dataclass(frozen=True, slots=True)
class Machine:
    """The device of the trials, and the reasons why it is not the one that the config names."""

    facts: Facts
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class Findings:
    """The faults of configs on a machine, those of their optimizers, and notes."""

    machine: tuple[Fault, ...]
    optimizers: tuple[Fault, ...]
    notes: tuple[str, ...]


def look(workspace: Workspace) -> Machine:
    """Return the device of the trials, or the CPU where that device is missing."""
    device, faults = _device(workspace)
    return Machine(facts_of(device), faults)


def examine(
    workspace: Workspace, configs: Sequence[tuple[Config, Parameters | None]], corners: Sequence[Config]
) -> Findings:
    """Return what the machine says of configs with their counted weights (None where they could
    not be counted), and of the optimizers of `corners`."""
    device, _ = _device(workspace)
    machine: list[Fault] = []
    notes: list[str] = []
    for config, account in configs:
        machine += device_faults(TrainSettings.of(config), device)
        if account is not None:
            machine += memory_faults(config, account, device)
            notes += memory_notes(config, account, device)
    return Findings(tuple(machine), _optimizer_faults(corners, len(workspace.splits.train), device), tuple(notes))


def _device(workspace: Workspace) -> tuple[torch.device, tuple[Fault, ...]]:
    try:
        return pick_device(workspace.config.trainer.device), ()
    except UserError as error:
        return torch.device("cpu"), error.faults


def _optimizer_faults(corners: Sequence[Config], rows: int, device: torch.device) -> tuple[Fault, ...]:
    """Return the faults that optimizers and schedules raise when they are built.

    `device_faults` has those of the machine.
    """
    found: list[Fault] = []
    for corner in corners:
        trainer = corner.trainer.model_copy(update={"bf16": False, "fp16": False})
        config = corner.model_copy(update={"trainer": trainer})
        steps = total_steps(rows, config.trainer)
        arguments = training_arguments(TrainSettings.of(config), device, Path("nowhere"))
        found += [Fault(path, rule) for path, rule in optimizer_faults(config.optimizer, arguments, device, steps)]
    return tuple(dict.fromkeys(found))
