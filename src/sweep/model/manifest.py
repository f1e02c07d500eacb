"""The manifest of a saved model: everything that is needed to load it again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

from sweep.config.adapter import Trains
from sweep.config.schema import AutocastType, ModelConfig, PromptConfig
from sweep.data.labels import LabelSpace
from sweep.errors import UserError
from sweep.model.base import Quantization
from sweep.records.migrations import NewerVersionError, migrated, stamped
from sweep.records.winner import MANIFEST

FILE = MANIFEST


@dataclass(frozen=True, slots=True)
class Manifest:
    """The values that load a saved model again. `base` is pinned: a hub model to its commit, a
    directory to its full path, `dtype` to the one used. `head` names the modules trained in full,
    or the output layer of a language model that scores label words as `prompt` says; neither is
    ever quantised. `max_length` is in tokens; `thresholds` are the probabilities from which each
    label of a multi-label task applies, None in any other. Under `autocast` to a type, or without
    where it is "none", the model was trained and evaluated. `columns` are those of the texts in
    the data set, two for pairs. Older folders have neither, which is None and (). The logits are
    divided by `temperature` before they become probabilities, None where they are not."""

    method: str
    base: ModelConfig
    quantization: Quantization | None
    labels: LabelSpace
    head: tuple[str, ...]
    max_length: int
    pad_token_id: int
    thresholds: tuple[float, ...] | None = None
    prompt: PromptConfig | None = None
    autocast: AutocastType | Literal["none"] | None = None
    columns: tuple[str, ...] = ()
    temperature: float | None = None
    trains: Trains | None = None  # None in folders of older versions, whose methods are known
    version: Literal[1] = 1

    @property
    def trained(self) -> Trains:
        """Return the kind of training, which decides the files of the model."""
        return self.trains or _TRAINS.get(self.method, "adapter")


_TRAINS: dict[str, Trains] = {"full": "everything", "head": "head"}
_ADAPTER = TypeAdapter(Manifest)


def write(manifest: Manifest, folder: Path) -> None:
    """Write the manifest to the folder of a saved model."""
    values = stamped(_ADAPTER.dump_python(manifest, mode="json"))
    (folder / FILE).write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read(folder: Path) -> Manifest:
    """Return the manifest of a saved model. Raises UserError if the folder holds none, or one of a
    newer version."""
    try:
        found = json.loads((folder / FILE).read_bytes())
        values = migrated(found) if isinstance(found, dict) else found
        return _ADAPTER.validate_json(json.dumps(values))
    except NewerVersionError as error:
        raise UserError.of(str(folder / FILE), str(error)) from None
    except (OSError, ValueError, RecursionError):  # pydantic's errors are ValueErrors
        raise UserError.of(str(folder), f"holds no model saved by sweep: it lacks a readable {FILE}") from None


def base_name(base: ModelConfig) -> str:
    """Return a name of the base for other machines: a hub id, pkg://PACKAGE/FOLDER, or ./NAME for
    a local folder, which cannot be mistaken for a hub id. A base that only sweep can make gets a
    description in words."""
    if base.init == "random":
        return "random weights, which sweep.model.artifact.load draws"
    if base.gguf_file:
        return f"{base.gguf_file}, which sweep.model.artifact.load converts"
    return f"./{Path(base.path).name}" if Path(base.path).is_absolute() else base.path
