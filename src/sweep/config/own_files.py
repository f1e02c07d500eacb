"""The config files in the user's own folders (`--config-dir`), and what is wrong with them before
Hydra reads them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sweep.config.folders import conf_dir
from sweep.config.schema import Config
from sweep.config.yamlfile import UNREADABLE, hazard
from sweep.errors import Fault, first_line

FLAG = "--config-dir"
# Depths in a user's folder at which Hydra looks for configs and for options of nested groups.
_DEPTHS = ("*.yaml", "*/*.yaml", "*/*/*.yaml")
_HEADER = re.compile(r"'(@[^']*)'$")  # in Hydra's errors of a header such as `# @package`
_ROOT = "config.yaml"
_OF_A_CONFIG = ("defaults", *Config.model_fields)  # keys at the top of a file that is meant for sweep


def own_files(folders: Sequence[Path]) -> Iterator[Path]:
    """Yield the YAML files that Hydra may read."""
    for path in (path for folder in folders for depth in _DEPTHS for path in sorted(folder.glob(depth))):
        if path.is_file():
            yield path


def hazards(folders: Sequence[Path]) -> tuple[Fault, ...]:
    """Return the faults of files on which Hydra would hang, or without a name.

    A file that cannot be opened is left to Hydra, which may not need it.
    """
    found = []
    for path in own_files(folders):
        with suppress(OSError):
            if rule := hazard(path):
                found.append(Fault(str(path), rule))
    return tuple(found)


def folder_faults(folders: Sequence[Path]) -> Iterator[Fault]:
    """Yield a fault for each folder that is none, and for each file that Hydra would pass over
    without a warning: one with the name of a shipped config."""
    for folder in folders:
        if not folder.is_dir():
            yield Fault(FLAG, f"{folder} is not a folder")
        elif shut := _unreadable(folder):
            yield Fault(FLAG, f"{shut} cannot be read")
            continue
        for file in folder.glob("*/*.yaml"):
            if (conf_dir() / file.parent.name / file.name).exists():
                yield Fault(FLAG, f"{file} has the name of a config that ships with sweep; give it another")


def _unreadable(folder: Path) -> Path | None:
    """Return the folder, or the first one in it, whose files this user may not read."""
    if not os.access(folder, os.R_OK | os.X_OK):
        return folder
    inner = (path for path in sorted(folder.iterdir()) if path.is_dir())
    return next((path for path in inner if not os.access(path, os.R_OK | os.X_OK)), None)


def never_read(folders: Sequence[Path]) -> Iterator[str]:
    """Yield a note on each file that seems to be meant for Hydra as the whole config."""
    for folder in folders:
        if _is_a_config(folder / _ROOT):
            yield (
                f"{folder / _ROOT} is not read, since sweep has a config of that name; an experiment, "
                f"{folder / 'experiment' / 'NAME.yaml'}, is taken by +experiment=NAME"
            )


def blamed(folders: Sequence[Path], said: str) -> str:
    """Return the file that an error of Hydra is about, or an empty text. `said` is the error's
    text in one line: it names the file or its option, is that of loading the file, or quotes its
    header."""
    files, header = list(own_files(folders)), _HEADER.search(said)
    for path in files:
        name = f"{path.parent.name}/{path.stem}"
        if str(path.resolve()) in said or f"'{name}'" in said or f"In {name}:" in said:
            return str(path)
    for path in files:
        trouble = _loaded(path)
        if isinstance(trouble, str) and trouble and said.startswith(trouble):
            return str(path)
        if header and header[1] in path.read_text(encoding="utf-8", errors="replace"):
            return str(path)
    return ""


def endless(folders: Sequence[Path]) -> str:
    """Return the first file whose defaults list leads back to it, or an empty text."""
    return next((str(path) for path in own_files(folders) if _leads_to(path, path, folders, set())), "")


def misplaced(folders: Sequence[Path], group: str, option: str) -> str:
    """Return what to do with a file that was meant as an option of a group, as the end of a
    message; empty where there is none."""
    for folder in folders:
        if (file := folder / group / f"{option}.yml").is_file():
            return f"; {file} must end in .yaml, which alone Hydra reads"
        if (file := folder / f"{option}.yaml").is_file():
            way_out = (
                f"name its parent: {FLAG} {folder.parent}" if folder.name == group else f"move it to {folder / group}"
            )
            return f"; {file} is in no folder of that group; {way_out}"
    return ""


def _loaded(path: Path) -> DictConfig | ListConfig | str:
    """Return what a file holds, or the first line of the error of loading it."""
    try:
        return OmegaConf.load(path)
    except (OmegaConfBaseException, *UNREADABLE) as error:
        return first_line(error)


def _is_a_config(path: Path) -> bool:
    """Return whether a file is there and has a key at its top that a config of sweep has."""
    found = _loaded(path) if path.is_file() else None
    return isinstance(found, DictConfig) and any(key in _OF_A_CONFIG for key in found)


def _leads_to(wanted: Path, start: Path, folders: Sequence[Path], seen: set[Path]) -> bool:
    """Return whether the defaults list of a file leads to another one, by files not yet `seen`."""
    seen.add(start)
    taken = _taken(start, folders)
    return any(path == wanted or (path not in seen and _leads_to(wanted, path, folders, seen)) for path in taken)


def _taken(path: Path, folders: Sequence[Path]) -> Iterator[Path]:
    """Yield the user's files that the defaults list of a file takes."""
    tree = _loaded(path)
    entries: Any = tree.get("defaults") if isinstance(tree, DictConfig) else None
    for entry in entries if isinstance(entries, ListConfig) else ():
        pairs = entry.items() if isinstance(entry, DictConfig) else [("", entry)]
        for group, option in pairs:
            name = "/".join(str(part) for part in (group, option) if part)
            for top in folders:
                file = (top / f"{name.lstrip('/')}.yaml") if name.startswith("/") else path.parent / f"{name}.yaml"
                if file.is_file() and file.is_relative_to(top):
                    yield file
