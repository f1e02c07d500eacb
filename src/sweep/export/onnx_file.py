"""A winner as an ONNX file: from token ids to logits, for any number of rows and tokens."""

from __future__ import annotations

import inspect
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoTokenizer, PreTrainedConfig, PreTrainedTokenizerBase
from transformers.utils import TRANSFORMERS_DYNAMIC_MODULE_NAME

from sweep.data.prompt import Prompt
from sweep.data.splits import Rows
from sweep.data.tokenise import padded_in_full
from sweep.engine.metrics import Scores
from sweep.errors import UserError, first_line, raise_if_out_of_memory
from sweep.export.traced import calibrated, traceable
from sweep.model.account import unwrapped
from sweep.model.label_words import WordScorer

FILE = "model.onnx"
# The operators that PyTorch's exporter is written in: a later set is made by a conversion.
# onnxruntime runs this one from version 1.14 on.
OPSET = 18
_LARGEST = 1_900_000_000  # bytes of weights inside of the file, which may have 2 GiB; larger ones lie beside it
_ROWS, _TOKENS = 3, 7  # of the batch that is traced: sizes that no weight has


@dataclass(frozen=True, slots=True)
class Inputs:
    """The inputs of the file, by the names that the tokenizer gives them. `fixed` is the number of
    tokens of each row where an architecture reads padding as text; None for any number."""

    names: tuple[str, ...]
    fixed: int | None

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase, model: nn.Module) -> Inputs:
        """Return the columns of the tokenizer that the model takes."""
        if isinstance(model, WordScorer):
            return cls(("input_ids", "attention_mask"), None)
        taken = inspect.signature(unwrapped(model).forward).parameters
        names = tuple(name for name in tokenizer("a") if name in taken)
        return cls(names, tokenizer.model_max_length if padded_in_full(tokenizer) else None)

    def example(self) -> dict[str, Tensor]:
        """Return a batch of tokens; the last row has one token less, and padding."""
        shape = (_ROWS, self.fixed or _TOKENS)
        found = {name: torch.zeros(shape, dtype=torch.long) for name in self.names}
        found["input_ids"] = torch.arange(shape[0] * shape[1]).view(shape) % 5 + 1
        if "attention_mask" in found:
            found["attention_mask"] = torch.ones(shape, dtype=torch.long)
            found["attention_mask"][-1, -1] = 0
        return found

    def axes(self) -> tuple[dict[int, Any], ...]:
        """Return the axes of each input that may have any size."""
        free: dict[int, Any] = {0: "rows"} if self.fixed else {0: "rows", 1: "tokens"}
        return tuple(dict(free) for _ in self.names)


def write(
    model: nn.Module, inputs: Inputs, folder: Path, facts: Mapping[str, object], *, temperature: float | None = None
) -> None:
    """Write model.onnx; weights beyond 1.9 GB go to a file beside it. `facts` become the file's
    metadata, as JSON. Its logits are divided by the `temperature` of a calibrated winner.

    Raises UserError if the architecture cannot be traced, and OSError if the file cannot be
    written.
    """
    large = sum(weight.nbytes for weight in model.parameters()) > _LARGEST
    try:
        with _silent(), torch.no_grad():
            program = torch.onnx.export(
                calibrated(traceable(model, inputs.names), temperature),
                tuple(inputs.example().values()),
                dynamo=True,
                opset_version=OPSET,
                input_names=list(inputs.names),
                output_names=["logits"],
                dynamic_shapes=(inputs.axes(),),  # of one argument, since the inputs are variadic
                verbose=False,
            )
            assert program is not None, "it is None without dynamo alone"
            program.model.metadata_props.update({name: json.dumps(value) for name, value in facts.items()})
    except Exception as error:  # each architecture fails in its own way
        raise_if_out_of_memory(error)
        rule = f"PyTorch cannot write a {unwrapped(model).config.model_type} as ONNX: {first_line(_root(error))}"
        raise UserError.of("--to", f"is onnx, but {rule}") from error
    with _silent():
        program.save(folder / FILE, external_data=large)


def refuse_code(tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise UserError for a tokenizer with Python code of its own, by which nobody could load it
    from the folder without trusting it."""
    if type(tokenizer).__module__.partition(".")[0] == TRANSFORMERS_DYNAMIC_MODULE_NAME:
        rule = "the tokenizer runs Python code of its own (model.trust_remote_code), which the folder has not"
        raise UserError.of("--to", f"is onnx, but {rule}; use --to hub without --merged")


def write_config(config: PreTrainedConfig, folder: Path) -> None:
    """Write the config, by which transformers finds the tokenizer. It names no Python code of the
    model, which transformers would ask about: the ONNX file needs none."""
    vars(config).pop("auto_map", None)
    vars(config)["_auto_class"] = None  # else its code is copied
    config.save_pretrained(folder)


def scores(folder: Path, rows: Rows, inputs: Inputs, size: int, prompt: Prompt | None) -> Scores:
    """Return the logits, (rows, labels), that onnxruntime computes on the CPU from the folder
    alone: of a batch of one row, and of batches of `size` rows."""
    import onnxruntime

    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    session = onnxruntime.InferenceSession(str(folder / FILE), providers=["CPUExecutionProvider"])
    starts = [0, *range(1, len(rows), size)]
    parts = []
    for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
        texts, pairs = list(rows.texts[start:end]), None if rows.pairs is None else list(rows.pairs[start:end])
        if prompt is None:
            padding = "longest" if inputs.fixed is None else "max_length"
            batch: Mapping[str, Any] = tokenizer(texts, pairs, truncation=True, padding=padding)
        else:
            batch = prompt.batch(tokenizer, texts, pairs)
        given = {name: np.asarray(batch[name], dtype=np.int64) for name in inputs.names}
        parts.append(session.run(["logits"], given)[0])
    return np.concatenate(parts).astype(np.float32)


def _root(error: BaseException) -> BaseException:
    """Return the first cause: the exporter's own message is a page of advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


@contextmanager
def _silent() -> Iterator[None]:
    """Keep back the exporter's remarks on its own parts."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
