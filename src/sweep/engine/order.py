"""The order in which a trial reads its rows. It is the same in every engine, and depends on the
trial's seed alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from accelerate.data_loader import SeedableRandomSampler
from torch.utils.data import DataLoader, Sampler
from transformers import TrainingArguments
from transformers.trainer_pt_utils import LengthGroupedSampler, get_length_grouped_indices


class GroupedByLength(LengthGroupedSampler):
    """transformers' sampler with a generator of its own. Dropout draws from the global one too:
    with it, the order of the second epoch would depend on how many values were dropped in the
    first.

    `lengths` are those of the rows, in tokens; `batch_size` is the number of rows in an optimizer
    step.
    """

    def __init__(self, batch_size: int, lengths: Sequence[int], seed: int) -> None:
        super().__init__(batch_size, lengths=list(lengths), generator=torch.Generator().manual_seed(seed))

    def skip(self, epochs: int) -> None:
        """Draw the orders of so many epochs, for a training that goes on after them."""
        for _ in range(epochs):
            iter(self)

    def __iter__(self) -> Iterator[int]:
        """Return the numbers of the rows in order. Without dropout it is the order that the
        Trainer draws from the global generator: its loader draws a number before the sampler does,
        so one is drawn here. The global generator is advanced as far as by the Trainer's own
        sampler, so that dropout draws the same values with either."""
        torch.empty((), dtype=torch.int64).random_(generator=self.generator)
        torch.randperm(len(self.lengths))
        return iter(get_length_grouped_indices(self.lengths, self.batch_size, generator=self.generator))  # type: ignore[no-untyped-call]


def row_order(lengths: Sequence[int], arguments: TrainingArguments) -> DataLoader[list[int]]:
    """Return a loader that yields batches of row numbers, iterated once an epoch. `lengths` are
    those of the rows, in tokens.

    It is torch's own loader, as the Trainer's, because it draws a number from the global generator
    when an epoch begins.
    """
    rows, size = range(len(lengths)), arguments.train_batch_size
    sampler: Sampler[int]
    if arguments.train_sampling_strategy == "group_by_length":
        sampler = GroupedByLength(size * arguments.gradient_accumulation_steps, lengths, arguments.seed)
    else:  # accelerate replaces a random sampler by this one
        sampler = SeedableRandomSampler(rows, data_seed=arguments.seed)  # type: ignore[no-untyped-call]
    return DataLoader(rows, batch_size=size, sampler=sampler, collate_fn=list)  # type: ignore[arg-type]
