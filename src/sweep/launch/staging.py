"""The copy of the code that the workers of a Ray cluster are sent."""

from __future__ import annotations

import ast
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from zipfile import ZipFile

from sweep.config.custom_code import load
from sweep.config.folders import conf_dir, sweeps_dir
from sweep.config.own_modules import archive, import_statements, places
from sweep.errors import UserError, first_line
from sweep.launch.code import PACKAGE

_NOT_CODE = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")


def stage(folder: Path, names: Iterable[str]) -> None:
    """Copy sweep with its configs, and the modules of the user's own code, to a folder that the
    workers are sent. Modules that lie beside them are copied too where they have been imported, or
    where one of these may import them later.

    Raises UserError where a file of the user's code cannot be copied.
    """
    target = folder / PACKAGE.name
    shutil.copytree(PACKAGE, target, ignore=_ignored)
    for shipped in (conf_dir(), sweeps_dir()):
        if not (target / shipped.name).exists():
            shutil.copytree(shipped, target / shipped.name, ignore=_ignored)
    for name in names:
        load(name)
    for place in _needed(name.partition(".")[0] for name in names):
        try:
            _copy(place, folder)
        except OSError as error:
            failed = error.args[0][0] if isinstance(error, shutil.Error) else (place, place, first_line(error))
            rule = f"is ray, which sends your code to the workers, but {failed[0]} cannot be copied: {failed[2]}"
            raise UserError.of("launcher", rule) from None


def too_large(folder: Path) -> UserError:
    """Return the error of a copy that is larger than Ray takes: it names the largest file."""
    files = [(path.stat().st_size, path) for path in folder.rglob("*") if path.is_file()]
    most, largest = max(files)
    has = f"it has {sum(size for size, _ in files) // 2**20} MiB, and {largest.relative_to(folder)} alone"
    rule = f"is ray, which sends your code to the workers, but {has} {most // 2**20} MiB; Ray takes 512 MiB, compressed"
    return UserError.of("launcher", f"{rule}; keep such files out of the folder of the code")


def _copy(place: Path, folder: Path) -> None:
    """Copy a file, a folder, or a file or folder inside a zip file."""
    if place.is_dir():
        shutil.copytree(place, folder / place.name, ignore=_ignored, dirs_exist_ok=True)
    elif place.is_file():
        shutil.copy(place, folder / place.name)
    elif (zipped := archive(place)) is not None:
        inside = place.relative_to(zipped).as_posix()
        with ZipFile(zipped) as found:
            for name in found.namelist():
                if name == inside or (name.startswith(f"{inside}/") and not name.endswith("/")):
                    target = folder / Path(name).relative_to(Path(inside).parent)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(found.read(name))


def _ignored(folder: str, names: list[str]) -> set[str]:
    """Return the entries of a folder that are not copied: what Python compiled, hidden files,
    links that lead nowhere or up the tree, and what is neither a file nor a folder."""
    above = {Path(folder).resolve(), *Path(folder).resolve().parents}
    left_out = set(_NOT_CODE(folder, names))
    for name in names:
        place = Path(folder) / name
        if not (place.is_file() or place.is_dir()) or (place.is_symlink() and place.resolve() in above):
            left_out.add(name)
    return left_out


def _needed(names: Iterable[str]) -> list[Path]:
    """Return the files and folders of modules of these names, and of modules beside them: those
    that have been imported, and those that an import anywhere in them names."""
    found = dict.fromkeys(place for name in names for place in places(name))
    beside = {place.parent for place in found}
    loaded = [name for name in sys.modules if "." not in name and name != "__main__"]
    found |= dict.fromkeys(place for name in loaded for place in places(name) if place.parent in beside)
    unread = list(found)
    while unread:
        for name in _imports(unread.pop()):
            more = [place for place in places(name) if place.parent in beside and place not in found]
            found |= dict.fromkeys(more)
            unread += more
    return list(found)


def _imports(place: Path) -> set[str]:
    """Return the top-level names that a file, or the files of a folder, import anywhere."""
    names = set[str]()
    for file in place.rglob("*.py") if place.is_dir() else [place]:
        try:
            contents = file.read_bytes()
        except OSError:
            continue
        for statement in import_statements(contents):
            match statement:
                case ast.Import(names=modules):
                    names |= {module.name.partition(".")[0] for module in modules}
                case ast.ImportFrom(module=str(module), level=0):
                    names.add(module.partition(".")[0])
    return names
