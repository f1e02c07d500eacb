"""The files of modules of the user's own, and of those that they import; none is installed."""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

_SWEEP = Path(__file__).parents[1]
_INSTALLED = {"site-packages", "dist-packages"}  # the names of folders of installed packages
_PACKAGE = "__init__.py"


def is_installed(file: Path) -> bool:
    """Return whether a file lies in a folder of installed packages."""
    return not _INSTALLED.isdisjoint(file.parts)


def archive(place: Path) -> Path | None:
    """Return the file that holds a path which is no file itself; None where there is none."""
    return next((above for above in place.parents if above.is_file()), None)


def places(name: str) -> list[Path]:
    """Return the file of a top-level module, or the folders of a package: several where it has no
    `__init__.py`. They may be inside a zip file. Empty for one that is installed, which workers
    need installed too, for one of Python or of sweep, and for one that is not there."""
    if name in (_SWEEP.name, "__main__", *sys.stdlib_module_names):
        return []
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):  # a module that something else than a file has made
        return []
    if spec is None:
        return []
    files = [spec.origin] if spec.has_location and spec.origin else []
    found = [Path(place) for place in spec.submodule_search_locations or files]
    return [place for place in found if not is_installed(place) and (place.exists() or archive(place) is not None)]


def digest(contents: bytes) -> str:
    """Return the beginning of the SHA-256 of a file, and the name of that hash."""
    return f"sha256 {hashlib.sha256(contents).hexdigest()[:16]}"


def imported(name: str) -> dict[str, str]:
    """Return the `digest` of each file of the user's own that an import anywhere in the module
    `name` names, and of those that these import, by the names of their modules. Files inside zip
    files are left out."""
    found: dict[str, str] = {}
    known = _files(name)
    unread = list(known.items())
    while unread:
        module, file = unread.pop()
        try:
            contents = file.read_bytes()
        except OSError:  # deleted meanwhile
            continue
        found[module] = digest(contents)
        for other in _imports(contents, module, is_package=file.name == _PACKAGE):
            more = {key: path for key, path in _files(other).items() if key not in known}
            known |= more
            unread += more.items()
    return {module: state for module, state in sorted(found.items()) if module != name}


def _files(name: str) -> dict[str, Path]:
    """Return the files that an import of a dotted name runs, by the names of their modules. The
    last part may be something in a module. Nothing is imported."""
    top, *rest = name.split(".")
    found: dict[str, Path] = {}
    for place in places(top):
        if place.is_file():
            found[top] = place
            continue
        folder, module = place, top
        for part in ("", *rest):
            if part and (file := folder / f"{part}.py").is_file():
                found[f"{module}.{part}"] = file
                break
            folder, module = (folder / part, f"{module}.{part}") if part else (folder, module)
            if (file := folder / _PACKAGE).is_file():
                found[module] = file
    return found


def import_statements(contents: bytes) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield the imports anywhere in a source; none where it cannot be parsed."""
    try:
        tree = ast.parse(contents)
    except (SyntaxError, ValueError):  # such as one of another version of Python, or a compiled one
        return
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom))


def _imports(contents: bytes, module: str, *, is_package: bool) -> Iterator[str]:
    """Yield the dotted names that the source of a module imports anywhere: modules, and what may
    be one."""
    package = module.split(".") if is_package else module.split(".")[:-1]
    for statement in import_statements(contents):
        match statement:
            case ast.Import(names=modules):
                yield from (each.name for each in modules)
            case ast.ImportFrom(module=of, names=names, level=level):
                base = [*package[: len(package) - level + 1], *filter(None, [of])] if level else [str(of)]
                if base:
                    yield from (".".join((*base, each.name)) for each in names)
