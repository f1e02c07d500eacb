"""The order in which a trial sees its rows, the same in every engine: drawn from the trial's seed and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from accelerate.data_loader import SeedableRandomSampler
from torch.utils.data import DataLoader, Sampler
from transformers import TrainingArguments
from transformers.trainer_pt_utils import LengthGroupedSampler, get_length_grouped_indices


class GroupedByLength(LengthGroupedSampler):
    """transformers' sampler with a generator of its own. From the global one, which dropout draws from too, the order of the
    second epoch would depend on how many values were dropped in the first.

    `lengths` are of the rows, in tokens; `batch_size` is of the rows of an optimizer step.
    """

    def __init__(self, batch_size: int, lengths: Sequence[int], seed: int) -> None:
        super().__init__(batch_size, lengths=list(lengths), generator=torch.Generator().manual_seed(seed))

    def __iter__(self) -> Iterator[int]:
        """Without dropout this is the order that the Trainer draws from the global generator. There its loader takes a number
        before the sampler does, so one is taken here; and the global generator is moved on as far as by the Trainer's own
        sampler, so that dropout draws the same values beside either."""
        torch.empty((), dtype=torch.int64).random_(generator=self.generator)
        torch.randperm(len(self.lengths))
        return iter(get_length_grouped_indices(self.lengths, self.batch_size, generator=self.generator))  # type: ignore[no-untyped-call]


def row_order(lengths: Sequence[int], arguments: TrainingArguments) -> DataLoader[list[int]]:
    """Iterated once an epoch, it gives batches of row numbers. `lengths` are of the rows, in tokens.

    torch's own loader, as the Trainer's, because it takes a number from the global generator when an epoch begins.
    """
    rows, size = range(len(lengths)), arguments.train_batch_size
    sampler: Sampler[int]
    if arguments.train_sampling_strategy == "group_by_length":
        sampler = GroupedByLength(size * arguments.gradient_accumulation_steps, lengths, arguments.seed)
    else:  # what accelerate makes of a random sampler
        sampler = SeedableRandomSampler(rows, data_seed=arguments.seed)
    return DataLoader(rows, batch_size=size, sampler=sampler, collate_fn=list)  # type: ignore[arg-type]
