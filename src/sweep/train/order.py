"""The order in which a trial sees its rows: the Trainer's, drawn from the same random numbers."""

from __future__ import annotations

from collections.abc import Sequence

from accelerate.data_loader import SeedableRandomSampler
from torch.utils.data import DataLoader, Sampler
from transformers import TrainingArguments
from transformers.trainer_pt_utils import LengthGroupedSampler


def row_order(lengths: Sequence[int], arguments: TrainingArguments) -> DataLoader[list[int]]:
    """Iterated once an epoch, it gives batches of row numbers. `lengths` are of the rows, in tokens.

    torch's own loader, as the Trainer's, because it takes a number from the global generator when an epoch begins. Build it
    after `transformers.set_seed`.
    """
    rows, size = range(len(lengths)), arguments.train_batch_size
    sampler: Sampler[int]
    if arguments.train_sampling_strategy == "group_by_length":
        sampler = LengthGroupedSampler(size * arguments.gradient_accumulation_steps, lengths=list(lengths))
    else:  # what accelerate makes of a random sampler
        sampler = SeedableRandomSampler(rows, data_seed=arguments.seed)
    return DataLoader(rows, batch_size=size, sampler=sampler, collate_fn=list)  # type: ignore[arg-type]
