"""The weights that a trial starts from where they are computed from training rows: its adapter's,
then its head's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sweep.config.settings import TrainSettings
from sweep.data.collate import collator
from sweep.data.tokenise import TokenisedData
from sweep.engine.probe import initialise_head
from sweep.errors import UserError
from sweep.model.account import unwrapped, without_words
from sweep.model.base_model_cache import BaseModelCache
from sweep.model.head import seeded

_MOST_PASSES = 50  # over the training rows
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def set_first_weights(
    model: nn.Module,
    settings: TrainSettings,
    *,
    base_models: BaseModelCache,
    data: TokenisedData,
    check_stop: Callable[[], None] = lambda: None,
) -> float:
    """Set what an untrained model of `base_models` starts from, as its adapter method and
    `adapter.head_init` say.

    Only training rows are read. The same config gives the same weights; torch's generators stay as
    they are. `check_stop` is asked after each batch, and what it raises is raised. Return the
    floating-point operations that this took.
    """
    ahead = _initialise_adapter(model, settings, base_models=base_models, data=data, check_stop=check_stop)
    return ahead + initialise_head(model, settings, base_models=base_models, data=data, check_stop=check_stop)


def _initialise_adapter(
    model: nn.Module,
    settings: TrainSettings,
    *,
    base_models: BaseModelCache,
    data: TokenisedData,
    check_stop: Callable[[], None],
) -> float:
    adapter = settings.adapter
    if not adapter.reads_rows:
        return 0.0
    tokenizer, labels = base_models.tokenizer(settings.model), data.splits.labels
    rows = data.train(tokenizer, settings.max_length, base_models.prompt(settings, labels))
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(settings.trainer.seed)).tolist()
    size = _batch_size(rows, order, settings, least=getattr(adapter, "r", 1))
    adapted = without_words(model)
    passes = _Passes(check_stop, most=_MOST_PASSES * len(rows))
    handle = adapted.register_forward_pre_hook(passes.count, with_kwargs=True)
    try:
        with seeded(settings.trainer.seed, base_models.device):
            adapter.initialise(adapted, Batches(rows, order, collator(tokenizer, labels), size))
    finally:
        handle.remove()
    model.eval()
    return 2.0 * passes.tokens * unwrapped(model).num_parameters(exclude_embeddings=True)


@dataclass(frozen=True, slots=True)
class Batches:
    """Batches of training rows in a fixed order, which can be gone through again."""

    rows: Any
    order: list[int]
    collate: Callable[[list[Any]], Mapping[str, Tensor]]
    size: int

    def __len__(self) -> int:
        return -(-len(self.order) // self.size)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for start in range(0, len(self.order), self.size):
            batch = self.collate(self.rows.__getitems__(self.order[start : start + self.size]))
            yield {name: value for name, value in batch.items() if name in _INPUTS}


@dataclass(slots=True)
class _Passes:
    """Counts the rows and tokens that go through the model, and stops a method that does not come
    to an end."""

    check_stop: Callable[[], None]
    most: int
    rows: int = 0
    tokens: int = 0

    def count(self, _: nn.Module, __: tuple[Any, ...], inputs: Mapping[str, Tensor]) -> None:
        """Raises UserError after `most` rows."""
        self.check_stop()
        mask = inputs["attention_mask"]
        self.rows += len(mask)
        self.tokens += int(mask.sum())
        if self.rows > self.most:
            rule = f"is eva, but its directions did not settle in {_MOST_PASSES} passes over the training rows; use default"
            raise UserError.of("adapter.init", rule)


def _batch_size(rows: Any, order: list[int], settings: TrainSettings, *, least: int) -> int:
    """Return the evaluation batch size, or more where a batch has fewer tokens than directions are
    looked for.

    Raises UserError where all rows together have fewer.
    """
    lengths = [len(tokens) for tokens in rows["input_ids"][:]]
    if sum(lengths) <= least:
        rule = (
            f"is {least}, but adapter.init is eva, and the training rows have {sum(lengths)} tokens; use a smaller rank"
        )
        raise UserError.of("adapter.r", rule)
    size = settings.trainer.per_device_eval_batch_size
    while size < len(order) and sum(lengths[row] for row in order[:size]) < 2 * least:
        size *= 2
    return min(size, len(order))
