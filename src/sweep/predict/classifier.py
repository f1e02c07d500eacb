"""A saved model that labels texts, with the probabilities that the study measured."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from sweep.data.collate import padder
from sweep.data.labels import LabelSpace
from sweep.engine import memory
from sweep.engine.loss import wide
from sweep.engine.metrics import Scores
from sweep.engine.temperature import scaled
from sweep.errors import UserError, first_line
from sweep.predict.predictions import Prediction, predictions
from sweep.predict.tokens import Reader, Tokens

BATCH_SIZE = 32  # rows in a forward pass, where nothing says how many
_WINDOW = 64  # batches among which rows of like length are looked for


@dataclass(slots=True)
class Room:
    """The most rows of a batch for which there is memory, as far as it is known."""

    rows: int = sys.maxsize


@dataclass(frozen=True, slots=True)
class Classifier:
    """A loaded model. `sweep.load` returns it.

    `thresholds` are the probabilities from which each label of a multi-label task applies.
    `paired` says that a row has two texts; None where the saved model does not tell. Scores are
    divided by `temperature` where the model was calibrated.
    """

    model: nn.Module
    reader: Reader
    space: LabelSpace
    thresholds: tuple[float, ...] | None
    paired: bool | None
    batch_size: int
    temperature: float | None = None
    room: Room = field(default_factory=Room)

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the names of the labels, in the order of the scores."""
        return self.space.names

    @property
    def window(self) -> int:
        """Return the number of batches among which rows of like length are looked for."""
        return _WINDOW

    def predict(
        self, texts: Iterable[str | None], pairs: Iterable[str | None] | None = None, *, batch_size: int | None = None
    ) -> list[Prediction]:
        """Return the prediction for each text, in their order.

        `pairs` are the second texts of a model that reads two. A text that is empty or that the
        model cannot read has no label, and says why. Raises UserError where `pairs` does not fit
        to the model or the texts, where `batch_size` is below 1, and where not even one row fits
        into memory; TypeError for values that are no texts.
        """
        rows, others = _listed("texts", texts), None if pairs is None else _listed("pairs", pairs)
        self._check(rows, others)
        size = self.batch_size if batch_size is None else batch_size
        if size < 1:
            raise UserError.of("batch_size", f"is {size}, but must be a whole number from 1 on")
        found: list[Prediction] = []
        for start in range(0, len(rows), size * _WINDOW):
            part = slice(start, start + size * _WINDOW)
            found += self._window(self.reader.read(rows[part], None if others is None else others[part]), size)
        return found

    def _window(self, rows: Sequence[Tokens | str], size: int) -> list[Prediction]:
        readable = [row for row in rows if isinstance(row, Tokens)]
        scores = scaled(self._scores(readable, size), self.temperature)
        answers = iter(predictions(scores, self.space, self.thresholds, [row.cut for row in readable]))
        return [next(answers) if isinstance(row, Tokens) else Prediction(None, None, problem=row) for row in rows]

    def _scores(self, rows: Sequence[Tokens], size: int) -> Scores:
        """Return the scores, float32 of shape (rows, labels). Batches have rows of like length,
        the longest first, as in `sweep.engine.evaluation.predict`; they stay smaller once memory
        ran out."""
        found: Scores = np.zeros((len(rows), len(self.space)), dtype=np.float32)
        rest = sorted(range(len(rows)), key=lambda row: -len(rows[row]))
        while rest:
            batch = rest[: min(size, self.room.rows)]
            scores = self._forward([rows[row] for row in batch])
            if scores is None:
                self.room.rows = len(batch) // 2
            else:
                found[batch], rest = scores.numpy(), rest[len(batch) :]
        return found

    def _forward(self, rows: Sequence[Tokens]) -> Tensor | None:
        """Return the scores of a batch; None where memory ran out. Raises UserError where a single
        row does not fit."""
        device = next(self.model.parameters()).device
        try:
            batch = padder(self.reader.tokenizer)([row.columns for row in rows])
            with torch.no_grad():
                logits = self.model(**{name: tensor.to(device) for name, tensor in batch.items()}).logits
            return wide(logits).cpu()
        except (RuntimeError, MemoryError) as error:
            if not memory.out_of_memory(error):
                raise
            message = first_line(error)
        memory.release(device)  # out of the handler, whose traceback keeps tensors alive
        if len(rows) == 1:
            raise UserError.of(
                "", f"out of memory for one row of {len(rows[0]):,} tokens ({message}); take a device with more"
            )
        return None

    def _check(self, texts: Sequence[str | None], pairs: Sequence[str | None] | None) -> None:
        if pairs is None and self.paired:
            raise UserError.of("pairs", "is missing: the model reads two texts a row, as in predict(texts, pairs)")
        if pairs is not None and self.paired is False:
            raise UserError.of("pairs", "is given, but the model reads one text a row; leave it out")
        if pairs is not None and len(pairs) != len(texts):
            raise UserError.of("pairs", f"has {len(pairs)} texts, but texts has {len(texts)}; each row needs both")


def _listed(name: str, texts: Iterable[str | None]) -> list[str | None]:
    """Return the texts. Raises TypeError where one is no text."""
    if isinstance(texts, str):
        raise TypeError(f"{name} is one text, but must be a list of texts, as in predict([text])")
    found = list(texts)
    for index, text in enumerate(found):
        if text is not None and not isinstance(text, str):
            raise TypeError(f"{name}[{index}] is {text!r:.40}, but must be a text, or None for a row without one")
    return found
