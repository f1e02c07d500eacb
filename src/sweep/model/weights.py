"""The weight files of a checkpoint."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.errors import UserError, first_line
from sweep.model.checkpoint import KEY, Checkpoint

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

_WANTED = ("model.safetensors", "model-*.safetensors", "*.json", "*.txt", "*.model", "*.jinja", "*.py")
_DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}


def download(checkpoint: Checkpoint) -> Checkpoint:
    """Fetch a hub model into the hub's cache, if it is not there. Raises UserError if it has no safetensors,
    or if they cannot be fetched. Of a model that is drawn there is nothing to fetch."""
    checkpoint.weights()
    if checkpoint.drawn or Path(checkpoint.location).is_dir():
        return checkpoint
    folder = _fetched(checkpoint.location, checkpoint.revision)
    found = replace(checkpoint, location=folder, revision=None, at_hand=True)
    found.weights()
    return found


@lru_cache(maxsize=32)
def _fetched(name: str, commit: str | None) -> str:
    """Asks the hub once a process: a commit does not change."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HTTPError as NetworkError  # type: ignore[attr-defined]

    try:
        return snapshot_download(name, revision=commit, allow_patterns=list(_WANTED), ignore_patterns=["*/*"])
    except (NetworkError, OSError) as error:
        raise UserError.of(KEY, f"is {name}, but its weights cannot be fetched: {first_line(error)}") from error


def stored_dtype(config: PreTrainedConfig, checkpoint: Checkpoint) -> str:
    """The type that the weights are stored in, by the config or else by the first weight; float32 if the weights say
    neither, or are not at hand."""
    declared = getattr(config, "dtype", None)
    if declared is not None:
        return str(declared).removeprefix("torch.")
    folder = Path(checkpoint.location)
    if checkpoint.drawn or not folder.is_dir():
        return "float32"
    from safetensors import SafetensorError, safe_open

    file = folder / checkpoint.weights()[0]
    try:
        with safe_open(file, framework="pt") as tensors:
            kinds = (tensors.get_slice(name).get_dtype() for name in tensors.keys())  # noqa: SIM118 - no mapping
            return next((_DTYPES[kind] for kind in kinds if kind in _DTYPES), "float32")
    except (OSError, SafetensorError) as error:
        rule = f"is {checkpoint.location}, but {file.name} cannot be read as safetensors: {first_line(error)}"
        raise UserError.of(KEY, rule) from None
