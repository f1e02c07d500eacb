"""A fingerprint of everything that decides which token ids a tokenizer gives, which names a file
of tokens."""

from __future__ import annotations

import inspect
import json
import tempfile
import uuid
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.provenance import Fingerprint

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer

# The packages of transformers' tokenizers, and those that its tokenizers in Python call.
_PACKAGES = (
    "transformers", "tokenizers", "sentencepiece", "tiktoken", "sacremoses", "jieba", "rjieba", "fugashi", "ipadic",
    "unidic", "unidic-lite", "sudachipy", "rhoknp", "emoji", "ftfy", "nltk", "phonemizer", "mistral-common",
)  # fmt: skip
_LIBRARIES = ("transformers.", "tokenizers.", "builtins")
_NOT_OF_IDS = ("name_or_path", "padding_side", "model_max_length", "verbose", "deprecation_warnings", "chat_template")
_PLAIN = (str, int, float, bool, type(None))


def tokenizer_fingerprint(tokenizer: Tokenizer) -> str:
    """Return a hexadecimal fingerprint of a tokenizer, without its truncation, padding and their
    limits.

    It covers the vocabulary, rules, special tokens, class, the versions of the libraries, and a
    tokenizer's own code.
    """
    digest = Fingerprint()
    for package in _PACKAGES:
        digest.add(f"{package} {_version(package)}")
    for kind in type(tokenizer).__mro__:
        digest.add(f"{kind.__module__}.{kind.__qualname__}")
    for file in _own_code(type(tokenizer)):
        digest.add(file.name).add_file(file)
    digest.add(repr(sorted(tokenizer.special_tokens_map.items()))).add(repr(_settings(tokenizer)))
    for part in _rules(tokenizer):
        digest.add(part)
    return digest.hex()


def _rules(tokenizer: Tokenizer) -> Iterator[str | bytes]:
    """Yield the JSON of a fast tokenizer, without truncation and padding, or all files that a
    tokenizer in Python saves."""
    if tokenizer.is_fast:
        found = json.loads(tokenizer.backend_tokenizer.to_str())
        yield json.dumps({**found, "truncation": None, "padding": None})
        return
    yield repr(sorted(tokenizer.get_vocab().items()))
    yield repr(sorted((number, repr(token)) for number, token in tokenizer.added_tokens_decoder.items()))
    with tempfile.TemporaryDirectory() as folder:
        try:
            tokenizer.save_pretrained(folder)
        except Exception:  # a tokenizer's own code may raise anything; a random piece then makes the fingerprint unique
            yield uuid.uuid4().bytes
        for file in sorted(Path(folder).iterdir()):
            yield file.name
            yield _without_place(file) if file.name == "tokenizer_config.json" else file.read_bytes()


def _without_place(config: Path) -> bytes:
    found = json.loads(config.read_bytes())
    return json.dumps({key: value for key, value in found.items() if key not in _NOT_OF_IDS}, sort_keys=True).encode()


def _settings(tokenizer: Tokenizer) -> list[tuple[str, Any]]:
    """Return the attributes with a plain value or a list of plain values."""
    return sorted(
        (name, value) for name, value in vars(tokenizer).items() if name not in _NOT_OF_IDS and _is_plain(value)
    )


def _is_plain(value: object) -> bool:
    return isinstance(value, _PLAIN) or (
        isinstance(value, list | tuple) and all(isinstance(one, _PLAIN) for one in value)
    )


def _own_code(kind: type) -> list[Path]:
    """Return the source files of a class and of its base classes, without those of libraries; for
    code that came with a model, all its files."""
    found: set[Path] = set()
    for one in kind.__mro__:
        if not f"{one.__module__}.".startswith(_LIBRARIES) and (name := _source(one)) is not None:
            found |= {Path(name), *(Path(name).parent.glob("*.py") if "transformers_modules" in name else ())}
    return sorted(found)


def _source(kind: type) -> str | None:
    try:
        return inspect.getsourcefile(kind)
    except (TypeError, OSError):
        return None


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"
