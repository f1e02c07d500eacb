"""Models in llama.cpp's GGUF format, converted once to safetensors, with the tokenizer that the
file holds."""

from __future__ import annotations

import json
import shutil
import struct
import sys
import tempfile
from contextlib import redirect_stderr, suppress
from copy import deepcopy
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.config.folders import gguf_cache
from sweep.errors import Fault, UserError, first_line
from sweep.model.checkpoint import Checkpoint, blamed, locate
from sweep.model.quiet import quiet
from sweep.provenance import Fingerprint
from sweep.records import cache_files

if TYPE_CHECKING:
    from transformers import PreTrainedModel

KEY = "model.gguf_file"
_CHECKSUMS = "sweep_checksums.json"  # of all other files of a converted model


def check(location: str, name: str) -> None:
    """Check that a local `location` has the file and that its reader is installed. Raises
    UserError if not."""
    faults = []
    if Path(location).is_dir() and not (Path(location) / name).is_file():
        there = ", ".join(sorted(file.name for file in Path(location).glob("*.gguf"))) or "no GGUF file"
        faults.append(Fault(KEY, f"is {name}, but {location} has {there}"))
    if find_spec("gguf") is None:
        faults.append(Fault(KEY, f"is {name}, but the package gguf is not installed: pip install 'sweep[gguf]'"))
    if faults:
        raise UserError(faults)


def converted(found: Checkpoint, name: str) -> Checkpoint:
    """Return the directory in the user's cache with the converted model: float32 weights, config
    and tokenizer. Raises UserError if there is no such file, or none that transformers can
    read."""
    check(found.location, name)
    file = _file(found, name)
    folder = gguf_cache() / _name(file, file.stat().st_mtime_ns)
    if folder.is_dir() and not _whole(folder, _changes(folder)):
        cache_files.tell_damaged(folder)
        with suppress(FileNotFoundError):  # another process was first
            shutil.rmtree(folder)
    if not folder.is_dir():
        print(f"sweep: converting {name} to safetensors, once; it is kept in {folder}", file=sys.stderr)
        _convert(file, folder)
    return locate(str(folder), None)


def _file(found: Checkpoint, name: str) -> Path:
    if Path(found.location).is_dir():
        return Path(found.location) / name
    from huggingface_hub import hf_hub_download

    if name not in found.files:
        there = ", ".join(file for file in found.files if file.endswith(".gguf")) or "no GGUF file"
        raise UserError.of(KEY, f"is {name}, but {found.location} has {there}")
    with blamed(KEY, f"is {name}, which cannot be fetched"):
        return Path(hf_hub_download(found.location, name, revision=found.revision))


@lru_cache(maxsize=32)
def _name(file: Path, _changed: int) -> str:
    """Return the name of the converted file. It depends on the versions of the reader, since a
    later one may unpack other numbers."""
    digest = Fingerprint().add_file(file)
    return digest.add(version("transformers")).add(version("gguf")).hex()


@lru_cache(maxsize=32)
def _whole(folder: Path, _changed: tuple[tuple[str, int], ...]) -> bool:
    """Return whether every file holds the bytes that were written. Models are large, so a process
    checks each once."""
    try:
        return bool(json.loads((folder / _CHECKSUMS).read_bytes()) == _checksums(folder))
    except (OSError, ValueError):
        return False


def _changes(folder: Path) -> tuple[tuple[str, int], ...]:
    return tuple(sorted((file.name, file.stat().st_mtime_ns) for file in folder.iterdir()))


def _checksums(folder: Path) -> dict[str, str]:
    return {file.name: cache_files.checksum(file) for file in sorted(folder.iterdir()) if file.name != _CHECKSUMS}


def _convert(file: Path, folder: Path) -> None:
    """Write the converted model to a folder, which appears as a whole or not at all: several
    processes may share the cache."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    folder.parent.mkdir(parents=True, exist_ok=True)
    bars = redirect_stderr(StringIO())  # the reader has no option that hides its progress bars
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch, quiet(), bars:
        inner = Path(scratch) / "model"
        try:
            tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
            plain = GgufConfig(gguf_file=file.name, dequantize=True)
            model = AutoModelForCausalLM.from_pretrained(
                file.parent, gguf_file=file.name, quantization_config=plain, dtype="float32"
            )
        except (OSError, ValueError, LookupError, RuntimeError, ImportError, struct.error) as error:
            raise UserError.of(KEY, f"is {file.name}, but it cannot be read: {first_line(error)}") from error
        _plain(model).save_pretrained(inner)
        tokenizer.save_pretrained(inner)
        (inner / _CHECKSUMS).write_text(json.dumps(_checksums(inner)))
        try:
            inner.rename(folder)
        except OSError:
            if not folder.is_dir():  # not there already, from another process
                raise


def _plain(model: PreTrainedModel) -> PreTrainedModel:
    """Return the same dense weights in a model that is not marked as quantised, which could not be
    saved."""
    config = deepcopy(model.config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    loaded: PreTrainedModel = type(model).from_pretrained(None, config=config, state_dict=model.state_dict())
    return loaded
