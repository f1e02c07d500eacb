"""The rows of a data set as tokens of a model, checked before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from sweep.config.schema import ModelConfig
from sweep.config.settings import TrainSettings
from sweep.data.prompt import Prompt, bind
from sweep.data.raw import listed
from sweep.data.splits import Rows
from sweep.data.token_limit import token_limit
from sweep.data.tokenise import TokenisedData, padded_in_full
from sweep.errors import Fault, shortened
from sweep.model.architecture import read_config
from sweep.model.checkpoint import KEY
from sweep.model.end_mark import end_mark
from sweep.model.source import find
from sweep.model.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedConfig
    from transformers import PreTrainedTokenizerBase as Tokenizer

TEXT = "dataset.text_column"
_NAMED = 3  # rows that a message names
_SHOWN = 30  # characters of a text
_LONGEST = 512  # rows whose lengths are told


@dataclass(frozen=True, slots=True)
class Looked:
    """The faults of the rows with this model, and notes for the user. `mean_length` is that of a
    training row in tokens; `longest` are the lengths of the longest ones, the longest first."""

    faults: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = ()
    mean_length: float = 0.0
    longest: tuple[int, ...] = ()


def look(settings: TrainSettings, data: TokenisedData) -> Looked:
    """Tokenise every split as a trial with these settings does, and return the faults.

    The tokens are cached for the trial. Only the texts of the test split are read. Raises
    UserError where the model or its tokenizer cannot be reached.
    """
    model, length, prompt = settings.model, settings.max_length, None
    checkpoint = find(model)
    architecture, tokenizer = read_config(model, checkpoint), load_tokenizer(model, checkpoint)
    if settings.prompt is not None:
        prompt = bind(settings.prompt, data.splits.labels, tokenizer, max_length=length)
    given = (tokenizer, length, prompt)
    tokens = {"train": data.train(*given), "validation": data.validation(*given), "test": data.test_texts(*given)}
    splits = [
        _Split(role, _rows(data, role), found.data.column("input_ids"))  # type: ignore[no-untyped-call]
        for role, found in tokens.items()
        if found is not None
    ]
    faults = [
        *_beyond_the_embeddings(model, architecture, tokenizer, splits, prompt),
        *(_without_a_token(tokenizer, splits) if prompt is None else ()),
        *(_end_marks(model.path, architecture, tokenizer, splits) if prompt is None else ()),
    ]
    return Looked(
        tuple(faults), tuple(_notes(settings, architecture, tokenizer)), splits[0].mean_length, splits[0].longest
    )


def _rows(data: TokenisedData, role: str) -> Rows:
    splits = data.splits
    if role == "test" and splits.test is not None:
        return splits.test.unlabelled()
    return splits.train if role == "train" else splits.validation


@dataclass(frozen=True, slots=True)
class _Split:
    """The rows of a split and their tokens.

    `tokens` is an Arrow column of lists of ids. It is read a chunk at a time, since there may be
    very many.
    """

    role: str
    rows: Rows
    tokens: pa.ChunkedArray

    @property
    def mean_length(self) -> float:
        """Return the mean number of tokens of a row."""
        return sum(len(chunk.flatten()) for chunk in self.tokens.chunks) / max(len(self.tokens), 1)

    @property
    def longest(self) -> tuple[int, ...]:
        """Return the lengths of the longest rows in tokens, the longest first."""
        lengths = [chunk.value_lengths().to_numpy(zero_copy_only=False) for chunk in self.tokens.chunks]
        return tuple(map(int, np.sort(np.concatenate([np.empty(0, dtype=np.int64), *lengths]))[::-1][:_LONGEST]))

    def count(self, chosen: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Return how many of the ids that `chosen` marks each row has."""
        found = [np.empty(0, dtype=np.int64)]
        for chunk in self.tokens.chunks:
            row = np.repeat(np.arange(len(chunk)), chunk.value_lengths().to_numpy(zero_copy_only=False))
            found.append(np.bincount(row[chosen(_ids(chunk))], minlength=len(chunk)))
        return np.concatenate(found)

    def distinct(self, chosen: Callable[[np.ndarray], np.ndarray]) -> set[int]:
        return {int(one) for chunk in self.tokens.chunks for one in np.unique(_ids(chunk)[chosen(_ids(chunk))])}

    def named(self, found: np.ndarray) -> list[str]:
        """Return rows by the number they are stored under, with the beginning of each text."""
        numbers = self.rows.numbers or range(1, len(self.rows) + 1)
        return [f"row {numbers[row]} of {self.role} ({shortened(self.rows.texts[row], _SHOWN)!r})" for row in found]


def _ids(chunk: pa.ListArray) -> np.ndarray:
    found: np.ndarray = chunk.flatten().to_numpy(zero_copy_only=False)
    return found


def _without_a_token(tokenizer: Tokenizer, splits: Sequence[_Split]) -> Iterator[Fault]:
    """Yield a fault for rows whose texts have only special tokens. The token of an unknown word
    does not count as special."""
    special = [one for one in tokenizer.all_special_ids if one != tokenizer.unk_token_id]
    for split in splits:
        bare = np.flatnonzero(split.count(lambda ids: ~np.isin(ids, special)) == 0)
        if len(bare):
            rule = (
                f"holds {len(bare)} texts for which the tokenizer gives no token: {listed(split.named(bare), _NAMED)}"
            )
            yield Fault(TEXT, f"{rule}; leave such rows out, or choose a model whose tokenizer knows their characters")


def _beyond_the_embeddings(
    model: ModelConfig,
    architecture: PreTrainedConfig,
    tokenizer: Tokenizer,
    splits: Sequence[_Split],
    prompt: Prompt | None,
) -> Iterator[Fault]:
    size = getattr(architecture.get_text_config(), "vocab_size", None)
    if not isinstance(size, int) or size < 1:
        return
    words = [one for ids in prompt.words for one in ids] if prompt else []
    beyond, rows = {one for one in words if one >= size}, list[str]()
    for split in splits:
        if found := split.distinct(lambda ids: ids >= size):
            rows += split.named(np.flatnonzero(split.count(lambda ids: ids >= size)))
            beyond |= found
    if beyond:
        key, name = ("model.tokenizer", model.tokenizer) if model.tokenizer else (KEY, model.path)
        said = listed([f"{token} ({one})" for one, token in _spelt(tokenizer, beyond).items()], _NAMED)
        where = f", in {listed(rows, _NAMED)}" if rows else ", in prompt.label_words"
        rule = f"is {name}, whose tokenizer gives ids that the model has no embeddings for (they end at {size - 1}): {said}"
        yield Fault(key, f"{rule}{where}; use the tokenizer or the checkpoint that belongs to the other one")


def _spelt(tokenizer: Tokenizer, ids: set[int]) -> dict[int, str]:
    return {one: str(tokenizer.convert_ids_to_tokens(one)) for one in sorted(ids)}


def _end_marks(
    path: str, architecture: PreTrainedConfig, tokenizer: Tokenizer, splits: Sequence[_Split]
) -> Iterator[Fault]:
    """Yield a fault for rows that a head cannot read.

    Such a head reads the last end mark, and needs the same number of them in each row.
    """
    mark = end_mark(architecture)
    if mark is None:
        return
    spelt, usual = tokenizer.convert_ids_to_tokens(mark), 0
    for split in splits:
        counts = split.count(lambda ids: ids == mark)
        usual = usual or int(np.bincount(counts).argmax())
        odd = np.flatnonzero(counts != usual)
        if usual == 0:
            rule = f"is {path}, whose head reads the end mark {spelt} ({mark}), which its tokenizer adds to no text"
            yield Fault(KEY, f"{rule}; name one that does (model.tokenizer)")
            return
        if len(odd):
            rule = f"holds rows with another number of end marks ({spelt}) than {usual}, which its head cannot read"
            yield Fault(TEXT, f"{rule}: {listed(split.named(odd), _NAMED)}; take the mark out of these texts")


def _notes(settings: TrainSettings, architecture: PreTrainedConfig, tokenizer: Tokenizer) -> Iterator[str]:
    asked, limit = settings.max_length, token_limit(tokenizer, settings.max_length)
    if asked is not None and asked > limit:
        yield f"dataset.max_length is {asked}, but {settings.model.path} takes {limit} tokens: texts are cut there"
    if padded_in_full(tokenizer):
        yield (
            f"{architecture.model_type} reads padding as if it were text: every row is padded to {limit} tokens, so that no "
            "score depends on its batch; dataset.max_length sets less"
        )
