"""A `file_stream` message of the client: rows, summaries and console output of one run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

HISTORY = "wandb-history.jsonl"
EVENTS = "wandb-events.jsonl"
SUMMARY = "wandb-summary.json"


@dataclass(frozen=True, slots=True)
class StreamMessage:
    """`chunks` holds, by file name, the place of the first line and the lines: objects in JSON
    files, texts in others.

    `complete` is true in the last message of a run, which has its exit code.
    """

    chunks: Mapping[str, tuple[int, list[Any]]]
    complete: bool
    exit_code: int


def read_message(message: Mapping[str, Any]) -> StreamMessage:
    """Raises ValueError or TypeError where the message is malformed."""
    return StreamMessage(_chunks(message), bool(message.get("complete")), int(message.get("exitcode") or 0))


def _chunks(message: Mapping[str, Any]) -> dict[str, tuple[int, list[Any]]]:
    files = message.get("files") or {}
    if not isinstance(files, Mapping) or not all(isinstance(chunk, Mapping) for chunk in files.values()):
        raise ValueError("not the chunks of files")
    found = {}
    for name, chunk in files.items():
        content = chunk.get("content") or []
        if not isinstance(content, list) or not all(isinstance(line, str) for line in content):
            raise ValueError(f"{name}: not a list of lines")
        objects = name == SUMMARY or name.endswith(".jsonl")
        lines = [json.loads(line) for line in content] if objects else content
        if objects and not all(isinstance(line, dict) for line in lines):
            raise ValueError(f"{name}: not an object in each line")
        if lines:
            found[name] = int(chunk.get("offset") or 0), lines
    return found
