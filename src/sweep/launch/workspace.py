"""The base models and tokenised rows that the trainings on one device share, and facts of it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch

from sweep.config.folders import feature_cache, token_cache
from sweep.config.schema import Config
from sweep.data.splits import Splits
from sweep.data.tokenise import TokenisedData
from sweep.engine import memory
from sweep.engine.folds import Folded
from sweep.engine.packed.engine import Packed
from sweep.engine.protocol import Engine
from sweep.engine.trainer import OneByOne
from sweep.model.base_model_cache import BaseModelCache
from sweep.records.trial import TrialPlan


@dataclass(frozen=True, slots=True)
class Facts:
    """The device on which a worker trains, and its host. Memory is in bytes."""

    host: str
    device: str  # cpu or cuda
    device_name: str
    memory: int
    free_memory: int
    has_bf16: bool
    threads: int


@dataclass
class Workspace:
    """The base models and rows that an engine trains with. They are loaded when first needed.

    `scratch` is the folder of temporary folders.
    """

    config: Config
    splits: Splits = field(repr=False)
    scratch: Path

    @cached_property
    def base_models(self) -> BaseModelCache:
        """Return the cache of base models. Raises UserError where `trainer.device` is missing."""
        return BaseModelCache(self.config.trainer.device, features=feature_cache(), scratch=self.scratch)

    @cached_property
    def data(self) -> TokenisedData:
        """Return the tokenised train and validation rows."""
        return TokenisedData(self.splits, token_cache())

    def engine(self, best_dir: Callable[[TrialPlan], Path | None], data: TokenisedData | None = None) -> Engine:
        """Return a new engine of the kind that the config names. `best_dir` gives the folder of a
        trial's best adapter; None keeps none. `data` are other rows than those of the study, which
        are not divided into folds."""
        folds = self.config.dataset.folds
        if folds is None or data is not None:
            return self._engine(best_dir, data or self.data, 1)
        return Folded(self._engine(lambda _: None, self.data, folds), folds, len(self.splits.train))

    def _engine(self, best_dir: Callable[[TrialPlan], Path | None], data: TokenisedData, together: int) -> Engine:
        """Return an engine for trials of so many trainings each."""
        config = self.config.engine
        if config.name == "trainer":
            return OneByOne(self.base_models, data, best_dir)
        return Packed(
            self.base_models, data, best_dir, "auto" if config.slots == "auto" else config.slots * together,
            announce=config.name == "packed", together=together,
        )  # fmt: skip


def facts_of(device: torch.device) -> Facts:
    """Return the facts of a device of this machine."""
    return Facts(
        host=socket.gethostname(),
        device=device.type,
        device_name=memory.device_name(device),
        memory=memory.capacity(device),
        free_memory=memory.free(device),
        has_bf16=device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False),
        threads=torch.get_num_threads() or os.cpu_count() or 1,
    )
