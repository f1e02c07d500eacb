"""Checks of a config.json before any library builds something from it, without torch or
transformers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sweep.errors import Fault, UserError, first_line, shortened

_DTYPES = ("float32", "bfloat16", "float16", "float64", "float", "half", "double")

# Each layer, head or expert is a module of its own, and each size is an axis of a weight. The
# largest of published models: 126 layers, 512 experts, a width of 53,248, 1.2 million words,
# 10.5 million positions.
_LAYERS = re.compile(r"((num|n|encoder|decoder)_(hidden_|encoder_|decoder_)?)layers?")
_COUNT = re.compile(r"(num|n|encoder|decoder)_(\w+_)?(heads?|experts?|groups?|blocks?)")
_SIZE = re.compile(r"\w*_(size|dim|embd|inner)|d_(model|ff|kv|inner|head)|dim|hidden_dim|n_embd")
_LENGTH = re.compile(r"\w*(position_embeddings|positions|seq_len|seq_length|sequence_length)")
_MOST = {_LAYERS: 512, _COUNT: 10_000, _SIZE: 2**24, _LENGTH: 2**26}
_MOST_LABELS = 200_000
_AT_LEAST_ONE = re.compile(
    r"(num_(hidden_|encoder_|decoder_)?|n_)layers?|num_(attention|key_value)_heads|n_heads?|hidden_size|vocab_size|"
    r"intermediate_size|d_model|n_embd|dim|head_dim"
)


def check(file: Path, key: str, name: str) -> None:
    """Raises UserError with all that is wrong with the config.json of what `key` names."""
    _, rules = read(file)
    if rules:
        raise UserError([Fault(key, f"is {name}, but its config.json {rule}") for rule in rules])


def read(file: Path) -> tuple[dict[str, Any], list[str]]:
    """Return the facts and the faults, each a rule that begins with a verb; no facts where the
    file cannot be read."""
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        return {}, [f"cannot be read as JSON: {first_line(error)}"]
    if not isinstance(found, dict):
        return {}, ["has no model_type, and so is the config.json of no model"]
    return found, list(wrong(found))


def said(error: Exception) -> str:
    """Return the message of a library's error in one line. Validators of transformers name the
    field in the first line and the rule in the second."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if len(lines) > 1 and lines[0].startswith("Validation error"):
        return f"{lines[0].removesuffix(':')}: {lines[1].partition(': ')[2] or lines[1]}"
    kind = "" if isinstance(error, OSError | ValueError | ImportError) else f"{type(error).__name__}: "
    return kind + first_line(error)


def wrong(facts: dict[str, Any]) -> Iterator[str]:
    """Return a rule for each unknown type of weights, each quantisation without a method, and each
    size far beyond that of any model, which would keep a machine busy for ever. transformers
    checks the other values, since it knows each field."""
    for key in ("dtype", "torch_dtype"):
        name = facts.get(key)
        if name is not None and str(name).removeprefix("torch.") not in _DTYPES:
            yield f"says {key}: {_shown(name)}, but it must be {', '.join(_DTYPES[:-4])} or {_DTYPES[3]}"
    method = facts.get("quantization_config")
    if method is not None and not (isinstance(method, dict) and isinstance(method.get("quant_method"), str)):
        yield f"says quantization_config: {_shown(method)}, which names no quant_method"
    labels = facts.get("id2label")
    if isinstance(labels, dict) and len(labels) > _MOST_LABELS:
        yield f"says id2label, with {len(labels):,} labels, but at most {_MOST_LABELS:,} can be held"
    yield from _sizes(facts, "")


def _sizes(facts: dict[str, Any], above: str) -> Iterator[str]:
    for key, value in facts.items():
        if isinstance(value, dict) and not above and key.endswith("_config"):
            yield from _sizes(value, f"{key}.")
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        most = (
            _MOST_LABELS if key == "num_labels" else next((n for kind, n in _MOST.items() if kind.fullmatch(key)), None)
        )
        if most is not None and value > most:
            yield f"says {above}{key}: {_shown(value)}, but no machine trains such a model: it must be at most {most:,}"
        elif value < 1 and _AT_LEAST_ONE.fullmatch(key):
            yield f"says {above}{key}: {_shown(value)}, but it must be at least 1"


def _shown(value: Any) -> str:
    return shortened(json.dumps(value), 60)
