"""The weights of a trial at its best evaluation, and at its newest."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from sweep.config.schema import Config
from sweep.data.labels import LabelSpace
from sweep.model import artifact
from sweep.model.state import restore, trainable_state, trainable_weights

PAUSE = 5.0  # seconds between two writes


@dataclass(slots=True)
class Best:
    """Keeps the trained weights in host memory and, where `folder` is given, the whole artifact on
    disk.

    `save(folder)` writes the artifact: at the first evaluation that is the best so far, at later
    ones unless it was written a moment ago, and then at the end of the trial. `newest` is where
    the artifact of the newest evaluation goes, if anywhere.
    """

    model: nn.Module
    save: Callable[[Path], None]
    folder: Path | None
    newest: Path | None = None
    weights: Mapping[str, Tensor] = field(default_factory=dict)
    written: float = -math.inf
    behind: bool = False

    @classmethod
    def of(
        cls,
        model: nn.Module,
        tokenizer: PreTrainedTokenizerBase,
        config: Config,
        labels: LabelSpace,
        folder: Path | None,
    ) -> Best:
        """Return the keeper of a trial. The artifact of the newest evaluation goes beside that of
        the best, where the config asks for it."""
        save = partial(artifact.save, model, tokenizer, config=config, labels=labels)
        newest = folder.with_name("newest") if folder and config.trainer.save_newest else None
        return cls(model, save, folder, newest)

    def keep(self) -> None:
        self.weights = trainable_state(self.model)
        self.behind = time.monotonic() - self.written < PAUSE
        if not self.behind:
            self._write()

    def keep_newest(self) -> None:
        if self.newest is not None:
            replace_folder(self.newest, self.save)

    def restore(self) -> None:
        """Put the best weights back into the model, and write them to disk where they are not
        there yet. Does nothing where nothing was kept."""
        if self.weights:
            restore(self.model, self.weights)
        if self.behind:
            self._write()

    def state_dict(self) -> dict[str, Any]:
        """Return the best weights; None where the present ones are the best, or none are."""
        present = dict(trainable_weights(self.model))
        same = bool(self.weights) and all(
            torch.equal(kept, present[name].detach().cpu()) for name, kept in self.weights.items()
        )
        return {"kept": bool(self.weights), "weights": None if same or not self.weights else dict(self.weights)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put a `state_dict` back, after the present weights. The artifact is written again at the
        end of the trial."""
        if state["kept"]:
            self.weights = trainable_state(self.model) if state["weights"] is None else state["weights"]
            self.behind = True

    def _write(self) -> None:
        if self.folder is not None:
            replace_folder(self.folder, self.save)
            self.written, self.behind = time.monotonic(), False


def replace_folder(folder: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a new folder, and move it to `folder`: no reader sees half of one, and at
    most two are on disk at a time."""
    fresh, former = folder.with_name(folder.name + ".new"), folder.with_name(folder.name + ".old")
    for leftover in (fresh, former):
        shutil.rmtree(leftover, ignore_errors=True)
    fresh.mkdir(parents=True)
    write(fresh)
    if folder.exists():
        folder.replace(former)
    fresh.replace(folder)
    shutil.rmtree(former, ignore_errors=True)
