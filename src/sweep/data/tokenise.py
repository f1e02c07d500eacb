"""Tokenising: once for each tokenizer and length, kept on disk, and shared by all trials of a
study."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

import pyarrow as pa

from sweep.data.labels import LabelSpace
from sweep.data.splits import Rows, Splits
from sweep.data.token_limit import token_limit
from sweep.data.tokenizer_fingerprint import tokenizer_fingerprint
from sweep.errors import naming
from sweep.provenance import Fingerprint
from sweep.records import cache_files

if TYPE_CHECKING:
    import datasets
    from transformers import PreTrainedTokenizerBase as Tokenizer

    from sweep.data.prompt import Prompt

BATCH = 1000
PADDED_IN_FULL = "pad_to_max_length"  # a tokenizer's own setting, saved with it
LAYOUT = "2"  # of the columns in the cache: change it with them


class TokenisedData:
    """The tokenised splits of a study. Trials with one tokenizer and length share tokens."""

    def __init__(self, splits: Splits, cache: Path) -> None:
        self.splits = splits
        self.cache = cache
        self._folds: dict[int, TokenisedData] = {}
        self._known: WeakKeyDictionary[Tokenizer, dict[tuple[object, ...], datasets.Dataset]] = WeakKeyDictionary()

    def of_fold(self, number: int) -> TokenisedData:
        """Return the data of a fold, counted from 1, or of the whole study for 0."""
        if not number:
            return self
        if number not in self._folds:
            self._folds[number] = TokenisedData(self.splits.fold(number), self.cache)
        return self._folds[number]

    def train(self, tokenizer: Tokenizer, max_length: int | None, prompt: Prompt | None = None) -> datasets.Dataset:
        """Return the tokenised train rows."""
        return self._shared("train", tokenizer, max_length, prompt)

    def validation(
        self, tokenizer: Tokenizer, max_length: int | None, prompt: Prompt | None = None
    ) -> datasets.Dataset:
        return self._shared("validation", tokenizer, max_length, prompt)

    def test_texts(
        self, tokenizer: Tokenizer, max_length: int | None, prompt: Prompt | None = None
    ) -> datasets.Dataset | None:
        """Return the tokenised test rows without their labels; None if there is no test split."""
        locked, labels = self.splits.test, self.splits.labels
        if locked is None:
            return None
        rows = locked.unlabelled()
        return tokenise(rows, tokenizer, labels=labels, max_length=max_length, cache=self.cache, prompt=prompt)

    def _shared(
        self, role: Literal["train", "validation"], tokenizer: Tokenizer, max_length: int | None, prompt: Prompt | None
    ) -> datasets.Dataset:
        known = self._known.setdefault(tokenizer, {})
        key = (role, token_limit(tokenizer, max_length), len(tokenizer), prompt)
        if key not in known:
            rows, labels = self.splits.train if role == "train" else self.splits.validation, self.splits.labels
            known[key] = tokenise(
                rows, tokenizer, labels=labels, max_length=max_length, cache=self.cache, prompt=prompt
            )
        return known[key]


def tokenise(
    rows: Rows,
    tokenizer: Tokenizer,
    *,
    labels: LabelSpace,
    max_length: int | None,
    cache: Path,
    prompt: Prompt | None = None,
) -> datasets.Dataset:
    """Return the tokenised rows in their order, memory-mapped from a file in `cache`.

    The columns are `input_ids`, `attention_mask`, `token_type_ids` if the tokenizer has them,
    `labels` (an int, or for multi-label a float for each label), and `length` in tokens, with
    padding if `padded_in_full`. The longer text of a pair is cut first. With `prompt`, which then
    sets the length, the tokens are those of its filled template. The name of the file depends on
    everything that the tokens depend on.
    """
    from datasets import Dataset

    limit = token_limit(tokenizer, max_length) if prompt is None else prompt.limit
    key = _fingerprint(rows, tokenizer, limit, labels, prompt)
    batches = _batches(rows, partial(tokens_of, tokenizer, limit, prompt), labels)
    file = cache_files.find(cache, key, ".arrow") or cache_files.keep(cache, key, ".arrow", partial(_write, batches))
    return Dataset.from_file(str(file))


def name_of(tokenised: datasets.Dataset) -> str:
    """Return the fingerprint of everything that the columns of `tokenise` depend on."""
    return cache_files.key_of(Path(tokenised.cache_files[0]["filename"]))


def padded_in_full(tokenizer: Tokenizer) -> bool:
    """Return whether rows are padded to the length limit (see `sweep.model.padding`) instead of
    the longest of a batch."""
    return bool(tokenizer.init_kwargs.get(PADDED_IN_FULL))


def tokens_of(
    tokenizer: Tokenizer, limit: int, prompt: Prompt | None, texts: list[str], pairs: list[str] | None
) -> Mapping[str, list[list[int]]]:
    """Return the tokens of rows by the names of the tokenizer's columns, cut at `limit`, padded
    only if `padded_in_full`; with `prompt`, those of its filled template."""
    if prompt is None:
        padding = "max_length" if padded_in_full(tokenizer) else False
        return tokenizer(texts, pairs, truncation=True, max_length=limit, padding=padding)  # type: ignore[no-any-return]
    ids = prompt.encode(tokenizer, texts, pairs)
    return {"input_ids": ids, "attention_mask": [[1] * len(row) for row in ids]}


def _batches(
    rows: Rows, tokens_of: Callable[[list[str], list[str] | None], Mapping[str, Any]], labels: LabelSpace
) -> Iterator[pa.RecordBatch]:
    of_label = pa.int64() if labels.task == "single_label" else pa.list_(pa.float32())
    for start in range(0, len(rows), BATCH):
        part = slice(start, start + BATCH)
        pairs = None if rows.pairs is None else list(rows.pairs[part])
        tokens = tokens_of(list(rows.texts[part]), pairs)
        columns = {name: pa.array(values, pa.list_(pa.int32())) for name, values in tokens.items()}
        columns["labels"] = pa.array(rows.labels[part], of_label)
        columns["length"] = pa.array([len(ids) for ids in tokens["input_ids"]], pa.int32())
        yield pa.RecordBatch.from_pydict(columns)


def _write(batches: Iterator[pa.RecordBatch], file: Path) -> None:
    first = next(batches)
    with naming(file), file.open("wb") as sink, pa.ipc.new_stream(sink, first.schema) as stream:
        stream.write_batch(first)
        for batch in batches:
            stream.write_batch(batch)


def _fingerprint(rows: Rows, tokenizer: Tokenizer, limit: int, labels: LabelSpace, prompt: Prompt | None) -> str:
    digest = Fingerprint().add(LAYOUT).add(rows.fingerprint()).add(labels.task).add(str(limit))
    if prompt is not None:
        digest.add("prompt").add(prompt.template).add(repr(prompt.start))
    elif padded_in_full(tokenizer):
        digest.add("padded").add(repr((tokenizer.pad_token_id, tokenizer.padding_side)))
    return (
        digest.add(tokenizer.truncation_side)
        .add(repr(tokenizer.model_input_names))
        .add(tokenizer_fingerprint(tokenizer))
        .hex()
    )
