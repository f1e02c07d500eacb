"""What a saved model says of itself, so that it can be loaded again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

from sweep.config.schema import AdapterMethod, ModelConfig, PromptConfig
from sweep.data.labels import LabelSpace
from sweep.errors import UserError
from sweep.model.base import Quantization
from sweep.records.migrations import NewerVersionError, migrated, stamped

FILE = "sweep_model.json"


@dataclass(frozen=True, slots=True)
class Manifest:
    """`base` is pinned: a hub model to its commit, a directory to its full path, `dtype` to what was used. `head` names
    the modules trained in full, or the output layer of a language model that scores label words as `prompt` has it;
    neither is ever quantised. `max_length` is in tokens; `thresholds` are the probabilities from which each label
    applies in a multi-label task, None in any other."""

    method: AdapterMethod
    base: ModelConfig
    quantization: Quantization | None
    labels: LabelSpace
    head: tuple[str, ...]
    max_length: int
    pad_token_id: int
    thresholds: tuple[float, ...] | None = None
    prompt: PromptConfig | None = None
    version: Literal[1] = 1


_ADAPTER = TypeAdapter(Manifest)


def write(manifest: Manifest, folder: Path) -> None:
    """Write the manifest to the folder of a saved model."""
    values = stamped(_ADAPTER.dump_python(manifest, mode="json"))
    (folder / FILE).write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read(folder: Path) -> Manifest:
    """Return the manifest of a saved model. Raises UserError if the folder holds none, or one of a newer version."""
    try:
        found = json.loads((folder / FILE).read_bytes())
        values = migrated(found) if isinstance(found, dict) else found
        return _ADAPTER.validate_json(json.dumps(values))
    except NewerVersionError as error:
        raise UserError.of(str(folder / FILE), str(error)) from None
    except (OSError, ValueError, RecursionError):  # pydantic's errors are ValueErrors
        raise UserError.of(str(folder), f"holds no model saved by sweep: it lacks a readable {FILE}") from None


def base_name(base: ModelConfig) -> str:
    """What another machine can call the base by: a hub id, pkg://PACKAGE/FOLDER, or, of a local folder, ./NAME, which no
    hub id can be taken for. One that only sweep can make is described, in words that are the name of nothing."""
    if base.init == "random":
        return "random weights, which sweep.model.artifact.load draws"
    if base.gguf_file:
        return f"{base.gguf_file}, which sweep.model.artifact.load converts"
    return f"./{Path(base.path).name}" if Path(base.path).is_absolute() else base.path
