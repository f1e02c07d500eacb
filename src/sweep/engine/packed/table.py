"""A tokenised dataset in memory, as a pack reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sweep.config.schema import Task
from sweep.data.collate import label_tensor
from sweep.engine.packed.batch import Row


@dataclass(frozen=True)
class Table:
    """The rows of a dataset without padding. `labels` are as a collator gives them, on the
    device."""

    rows: Sequence[Row]
    labels: Tensor
    dataset: Any

    @classmethod
    def of(cls, dataset: Any, task: Task, device: torch.device) -> Table:
        tokens = [np.asarray(row, dtype=np.int64) for row in dataset["input_ids"][:]]
        typed = "token_type_ids" in dataset.column_names
        types = (
            [np.asarray(row, dtype=np.int64) for row in dataset["token_type_ids"][:]] if typed else [None] * len(tokens)
        )
        labels = label_tensor(dataset["labels"][:], task).to(device)
        return cls([Row(*pair) for pair in zip(tokens, types, strict=True)], labels, dataset)

    @cached_property
    def lengths(self) -> list[int]:
        """Return the length of each row in tokens."""
        return [len(row) for row in self.rows]

    @cached_property
    def longest_first(self) -> list[int]:
        """Return the numbers of the rows, the longest row first."""
        return sorted(range(len(self.rows)), key=lambda row: -self.lengths[row])
