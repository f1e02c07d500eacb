"""Local files: CSV and its kin, JSON lines, Parquet.

Read without `datasets`, which takes half a second to import and copies every file into a cache of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Set
from pathlib import Path

import pyarrow as pa

from sweep.config.schema import DatasetConfig
from sweep.data.raw import Raw, concatenated, joined, listed
from sweep.errors import UserError, first_line

DELIMITERS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
JSON_LINES = (".jsonl", ".json")
ENDINGS = (*DELIMITERS, *JSON_LINES, ".parquet")

ONE_BLOCK = 2**31 - 1


def read_from_folder(folder: Path, key: str, split: str, *, config: DatasetConfig, wanted: Set[str]) -> Raw:
    def read(name: str) -> Raw:
        files = _files(folder, key, name)
        return concatenated(key, split, [_read(file, key, config=config, wanted=wanted) for file in files])

    return read(split) if (folder / split).is_file() else joined(key, split, read)


def read_only_file(path: Path, key: str, split: str, *, config: DatasetConfig, wanted: Set[str]) -> Raw:
    if key != "dataset.train_split":
        rule = f"is {split}, but dataset.path is one file, all of it train; name a folder, or set {key}=null"
        raise UserError.of(key, rule)
    return _read(path, "dataset.path", config=config, wanted=wanted)


def _files(folder: Path, key: str, name: str) -> list[Path]:
    """The file of that exact name, else NAME.ending, else the numbered parts in which the hub stores a
    split."""
    if name and (folder / name).is_file():
        return [folder / name]
    named = [folder / f"{name}{ending}" for ending in ENDINGS if (folder / f"{name}{ending}").is_file()]
    if len(named) > 1:
        several = listed([file.name for file in named])
        raise UserError.of(
            key, f"is {name}, but {folder} has several such files: {several}; give the whole name of one"
        )
    found = named or sorted(file for ending in ENDINGS for file in folder.glob(f"{name}-?????-of-?????{ending}"))
    if not found:
        there = sorted(file.name for file in folder.iterdir() if file.suffix in ENDINGS)
        missing = f"{folder} has no file of that name, nor with an ending of {' '.join(ENDINGS)}"
        rule = f"is {name}, but {missing}; it holds: {listed(there)}"
        raise UserError.of(key, rule)
    return found


def _read(path: Path, key: str, *, config: DatasetConfig, wanted: Set[str]) -> Raw:
    try:
        if path.suffix in DELIMITERS:
            return _read_delimited(path, config, wanted)
        if path.suffix in JSON_LINES:
            return _read_json(path, wanted)
        if path.suffix == ".parquet":
            return _read_parquet(path, wanted)
    except (pa.ArrowException, ValueError, OSError) as error:
        raise UserError.of(key, f"{path} cannot be read: {first_line(error)}{_taken_for(path, config)}") from None
    raise UserError.of(key, f"{path} has an ending that is not known; known are {' '.join(ENDINGS)}")


def _taken_for(path: Path, config: DatasetConfig) -> str:
    """How a text file was read: as something else than it is, most often."""
    if path.suffix not in DELIMITERS:
        return ""
    return f"; it was taken for UTF-8 with fields parted by {_delimiter(path, config)!r} (dataset.delimiter)"


def _delimiter(path: Path, config: DatasetConfig) -> str:
    return config.delimiter or DELIMITERS[path.suffix]


def _read_delimited(path: Path, config: DatasetConfig, wanted: Set[str]) -> Raw:
    """Wanted columns stay text: a guess would turn the label "01" into 1, and a text of digits into a
    number."""
    from pyarrow import csv

    table = csv.read_csv(
        path,
        # Arrow cannot read a row that is longer than a block.
        read_options=csv.ReadOptions(block_size=min(path.stat().st_size + 1, ONE_BLOCK)),
        parse_options=csv.ParseOptions(
            delimiter=_delimiter(path, config),
            quote_char='"' if config.quoting else False,
            newlines_in_values=config.quoting,
        ),
        convert_options=csv.ConvertOptions(column_types={name: pa.string() for name in wanted}),
    )
    held = [index for index, name in enumerate(table.column_names) if name in wanted]
    if twice := [name for name in sorted(wanted) if table.column_names.count(name) > 1]:
        raise UserError.of("dataset.path", f"{path} has more than one column of the name {listed(twice)}")
    return Raw(table.select(held), tuple(table.column_names), typed=False)


def _read_json(path: Path, wanted: Set[str]) -> Raw:
    """JSON lines, or one array of objects. By `json`: Arrow's reader would turn a text that looks like a date
    into one."""
    rows = list(_json_objects(path.read_text(encoding="utf-8-sig")))
    columns = tuple(dict.fromkeys(name for row in rows for name in row))
    arrays = {}
    for name in columns:
        if name in wanted:
            try:
                arrays[name] = pa.array([row.get(name) for row in rows])
            except pa.ArrowException as error:
                raise ValueError(f"column {name} mixes kinds of values: {first_line(error)}") from None
    return Raw(pa.table(arrays), columns, typed=True)


def _json_objects(text: str) -> Iterator[dict[str, object]]:
    for number, row in enumerate(json.loads(text), start=1) if text.lstrip().startswith("[") else _json_lines(text):
        if not isinstance(row, dict):
            raise ValueError(f"row {number} is no JSON object")
        yield row


def _json_lines(text: str) -> Iterator[tuple[int, object]]:
    # Not splitlines: a JSON string may hold U+2028, which ends no line.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"line {number} is not JSON ({error.msg})") from None


def _read_parquet(path: Path, wanted: Set[str]) -> Raw:
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        columns = tuple(file.schema_arrow.names)
        return Raw(file.read(columns=[name for name in columns if name in wanted]), columns, typed=True)
