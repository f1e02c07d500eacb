"""The ends of messages on values and keys that the schema refuses: what was probably meant, and
what to type instead."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from difflib import get_close_matches
from math import isfinite
from typing import Any, Literal, get_args, get_origin

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from sweep.config.keys import field_of, fields_of, is_key, keys, section
from sweep.config.quoting import typed
from sweep.config.schema import Config
from sweep.errors import closest, shortened

PACKAGE_LINE = "'# @package _global_'"  # the first line of an experiment's file

# The kinds of values by pydantic's types of errors, in YAML's words.
KINDS = {"tuple_type": "a list", "dict_type": "a mapping", "model_type": "a mapping"}
_OF_NUMBERS = ("int_type", "float_type")
_EXAMPLE = re.compile(r"\[?\{[^{}]*\}\]?")  # a mapping, or a list of one, in the description of a key
_FEW = 6  # keys of a section that are all shown with how to type them
_SEARCHED = ("model", "adapter", "prompt", "optimizer", "trainer")  # sections whose keys can be searched
_LONGEST = 200  # characters of a value that a message shows


# Names of other programs for keys: of TrainingArguments, PEFT's examples and Optuna's.
ALSO_CALLED = {
    "lr": "optimizer.learning_rate", "optim": "optimizer.name", "warmup_ratio": "optimizer.warmup_steps",
    "lr_scheduler": "optimizer.lr_scheduler_type", "scheduler": "optimizer.lr_scheduler_type",
    "epochs": "trainer.num_train_epochs", "num_epochs": "trainer.num_train_epochs", "max_steps": "trainer.num_train_epochs",
    "batch_size": "trainer.per_device_train_batch_size", "train_batch_size": "trainer.per_device_train_batch_size",
    "eval_batch_size": "trainer.per_device_eval_batch_size", "evaluation_strategy": "trainer.eval_strategy",
    "group_by_length": "trainer.train_sampling_strategy", "rank": "adapter.r", "alpha": "adapter.lora_alpha",
    "dropout": "adapter.lora_dropout", "load_in_4bit": "adapter.quantization", "max_seq_length": "dataset.max_length",
    "model_name_or_path": "model.path", "metric_for_best_model": "study.metric", "output_dir": "run_dir",
}  # fmt: skip
_EXACT = 2**53  # whole numbers up to here are exact as floating-point numbers
_MOST_MEANT = 3  # keys in a question


def hint(path: str, found: ErrorDetails, tree: Mapping[str, Any]) -> str:
    """Return what was probably meant by a value that is refused, or what to type; empty where that
    is not known. `tree` is the whole config."""
    match KINDS.get(found["type"]):
        case "a mapping":
            return mapping_hint(path)
        case "a list":
            return _in_brackets(path, found) or list_hint(path)
        case _:
            return (
                _nearest(found)
                or _without_quotes(found)
                or _as_whole(path, found)
                or _as_text(path, found, tree)
                or _to_search(path, found)
            )


def unknown(path: str) -> str:
    """Return the rule for a key that no section has."""
    if path == "experiment":
        return f"is not a config key; does the experiment's file begin with the line {PACKAGE_LINE}?"
    parent, _, name = path.rpartition(".")
    owner = section(parent) if parent else Config
    allowed = tuple(fields_of(owner)) if owner else ()
    return f"is not a config key{meant(path) or closest(name, allowed)}; {parent or 'the top level'} has: {', '.join(allowed)}"


def meant(path: str) -> str:
    """Return a question about the keys that an unknown one was probably meant to be: those of its
    name in other sections, or one that other programs call so. Empty where there is none."""
    name = path.rpartition(".")[2]
    same = [key for key in keys() if key.rpartition(".")[2] == name and not key.startswith("published.")]
    found = same or [ALSO_CALLED[name]] if same or name in ALSO_CALLED else []
    return f" (did you mean {' or '.join(found)}?)" if 0 < len(found) <= _MOST_MEANT else ""


def mapping_hint(path: str) -> str:
    """Return what to type for a key whose value is a mapping, or a list of mappings; empty for any
    other key, and where `path` is no key."""
    if (field := field_of(path)) is None:
        return ""
    if (owner := section(path)) is None:
        example = _example(field) or ("{NAME: VALUE}" if _is_mapping(field.annotation) else "")
        return example and f"; type {shlex.quote(f'{path}={example}')}"
    names = [*fields_of(owner)]
    if get_origin(field.annotation) is tuple:
        return f"; each one has: {', '.join(names)}"
    each = " or ".join(f"{path}.{one}=VALUE" for one in names)
    return f"; type {each}" if len(names) <= _FEW else f"; {path} has: {', '.join(names)}"


def list_hint(path: str) -> str:
    """Return what to type for a key whose value is a list of mappings; empty for other lists."""
    field = field_of(path)
    return mapping_hint(path) if field is not None and _example(field).startswith("[") else ""


def shown(value: Any) -> str:
    """Return a value as JSON has it, as far as a message shows it."""
    return shortened(json.dumps(value, ensure_ascii=False), _LONGEST)


def value_at(tree: Mapping[str, Any], path: str) -> Any:
    """Return the value at a key; None where there is none."""
    found: Any = tree
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _nearest(found: ErrorDetails) -> str:
    """Return a question about the name that a text was probably meant to be, or an empty text."""
    if found["type"] != "literal_error" or not isinstance(found["input"], str):
        return ""
    given, names = found["input"], re.findall("'([^']*)'", found["ctx"]["expected"])
    longer = [name for name in names if given and name.startswith(given)]
    if not longer and (whole := closest(given, names)):
        return whole
    starts = {name[: len(given)]: name for name in reversed(names)}  # of names with an ending: lion_8bit
    similar = longer or [starts[start] for start in get_close_matches(given, starts, n=1, cutoff=0.75)]
    return f" (did you mean {similar[0]}?)" if similar else ""


def _without_quotes(found: ErrorDetails) -> str:
    """Return what to write where a number was given as a text; empty for any other fault."""
    if found["type"] not in _OF_NUMBERS or not isinstance(found["input"], str):
        return ""
    try:
        float(found["input"])
    except ValueError:
        return ""
    return "; write the number without quotes"


def _as_whole(path: str, found: ErrorDetails) -> str:
    """Return what to type where a whole number was given with a point or an exponent; empty for
    any other fault."""
    value = found["input"]
    whole = found["type"] in _OF_NUMBERS and isinstance(value, float) and value.is_integer() and abs(value) < _EXACT
    return f"; type {path}={int(value)}" if whole and is_key(path) else ""


def _in_brackets(path: str, found: ErrorDetails) -> str:
    """Return what to type where a list was expected and one of its elements was given; empty for
    any other fault."""
    value, field = found["input"], field_of(path)
    if not isinstance(value, str | int) or field is None:
        return ""
    annotation: Any = field.annotation
    try:
        TypeAdapter(annotation).validate_json(json.dumps([value]))
    except ValidationError:
        return ""
    return f"; type {typed(path, [value])}"


def _as_text(path: str, found: ErrorDetails, tree: Mapping[str, Any]) -> str:
    """Return how to write a text that was read as a number or a truth value; empty for any other
    fault."""
    value, field = found["input"], field_of(path)
    if found["type"] != "string_type" or not isinstance(value, int | float) or _has_choices(field):
        return ""
    if isinstance(value, bool):
        return (
            f'; a text is written in quotes: "{str(value).lower()}", and in a YAML file "yes", "no", "on" and "off" too'
        )
    if not isfinite(value):
        return ""
    if isinstance(value, float):  # its digits may be others than those that were written
        return f"; a text is written in quotes: '{path}=\"…\"'"
    whole = value_at(tree, path.partition("[")[0])
    written = [str(one) for one in whole] if isinstance(whole, list) else str(value)
    return f"; a text is written in quotes: {typed(path.partition('[')[0], written)}"


def _has_choices(field: FieldInfo | None) -> bool:
    """Return whether a key takes one of given texts, such as names of samplers, beside others."""
    kinds = () if field is None else (field.annotation, *get_args(field.annotation))
    return any(get_origin(kind) is Literal for kind in kinds)


def _to_search(path: str, found: ErrorDetails) -> str:
    """Return where a range or choices of a key belong that takes one plain value; empty for any
    other fault."""
    value, (owner, *_) = found["input"], path.split(".")
    if not isinstance(value, list | dict) or not is_key(path) or section(path) is not None or owner not in _SEARCHED:
        return ""
    entry = value if isinstance(value, dict) else {"choices": value}
    if not {"low", "high", "choices"} & entry.keys():
        return ""
    written = ", ".join(f"{name}: {shown(one)}" for name, one in entry.items())
    return f"; what is searched stands in a file, named by study.space=FILE, as {path}: {{{written}}}"


def _example(field: FieldInfo) -> str:
    """Return the value that the description of a key has as an example, or an empty text."""
    found = _EXAMPLE.search(field.description or "")
    return found[0] if found else ""


def _is_mapping(annotation: Any) -> bool:
    kinds = (get_origin(one) for one in (annotation, *get_args(annotation)))
    return any(isinstance(kind, type) and issubclass(kind, Mapping) for kind in kinds)
