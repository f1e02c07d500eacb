"""The weight files of a checkpoint."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.errors import UserError, first_line
from sweep.model.checkpoint import KEY, Checkpoint

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

_WANTED = ("model.safetensors", "model-*.safetensors", "*.json", "*.txt", "*.model", "*.jinja", "*.py")
_LONGEST_HEADER = 100_000_000  # bytes, as safetensors has it
_DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}


def download(checkpoint: Checkpoint) -> Checkpoint:
    """Return the checkpoint of a model. One of the hub is fetched into the hub's cache, if it is
    not there; a random model has nothing to fetch. Raises UserError if the model has no
    safetensors, or if they cannot be fetched."""
    checkpoint.weights()
    if checkpoint.drawn or Path(checkpoint.location).is_dir():
        return checkpoint
    folder = _fetched(checkpoint.location, checkpoint.revision)
    found = replace(checkpoint, location=folder, revision=None, at_hand=True)
    found.weights()
    return found


@lru_cache(maxsize=32)
def _fetched(name: str, commit: str | None) -> str:
    """Return the folder of a model of the hub. The hub is asked once a process, since a commit
    does not change."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HTTPError as NetworkError  # type: ignore[attr-defined]

    try:
        return snapshot_download(name, revision=commit, allow_patterns=list(_WANTED), ignore_patterns=["*/*"])
    except (NetworkError, OSError) as error:
        raise UserError.of(KEY, f"is {name}, but its weights cannot be fetched: {first_line(error)}") from error


def stored_dtype(config: PreTrainedConfig, checkpoint: Checkpoint) -> str:
    """Return the dtype of the stored weights, from the config or else from the first weight;
    float32 if neither has one, or if the weights are not on this machine."""
    declared = getattr(config, "dtype", None)
    if declared is not None:
        return str(declared).removeprefix("torch.")
    folder = Path(checkpoint.location)
    if checkpoint.drawn or not folder.is_dir():
        return "float32"
    return _first_dtype(checkpoint, folder / checkpoint.weights()[0])


def _first_dtype(checkpoint: Checkpoint, file: Path) -> str:
    """Return the dtype of the first weight from the file's header (its length in 8 bytes, then
    JSON), without mapping a weight into memory."""
    try:
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            header = json.loads(opened.read(length)) if 0 < length <= _LONGEST_HEADER else {}
        kinds = [header[name]["dtype"] for name in sorted(header) if name != "__metadata__"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        kinds, said = [], first_line(error)
    else:
        said = "it has no header that names a weight"
    if not kinds:
        raise UserError.of(KEY, f"is {checkpoint.location}, but {file.name} cannot be read as safetensors: {said}")
    return next((_DTYPES[kind] for kind in kinds if kind in _DTYPES), "float32")
