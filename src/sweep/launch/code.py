"""The code that workers run: its versions and fingerprints, and the copy that they are sent."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

from sweep.config.custom_code import code_state, is_own, load
from sweep.config.folders import conf_dir, sweeps_dir
from sweep.config.schema import Config
from sweep.provenance import Fingerprint, package_versions

PACKAGE = Path(__file__).resolve().parents[1]

# Packages that a worker does not train with; sweep itself is compared by its files.
_UNUSED = ("sweep", "wandb", "optuna", "evaluate", "hydra-core", "omegaconf")
_IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")


@cache
def code_fingerprint() -> str:
    """Return a fingerprint of sweep's own code."""
    total = Fingerprint()
    for file in sorted(PACKAGE.rglob("*.py")):
        total.add(str(file.relative_to(PACKAGE))).add_file(file)
    return total.hex()


def versions() -> dict[str, str]:
    """Return the versions of the packages that workers train with.

    They are without the part that names a build: a coordinator without a GPU may have PyTorch's
    build for the CPU.
    """
    return {name: version.partition("+")[0] for name, version in package_versions().items() if name not in _UNUSED}


def own_names(configs: Iterable[Config]) -> list[str]:
    """Return the dotted paths of the user's own code that trials run: metrics and adapters."""
    names = dict.fromkeys(name for config in configs for name in (*config.dataset.own_metrics, config.adapter.method))
    return [name for name in names if is_own(name)]


def own_code(names: Iterable[str]) -> dict[str, str]:
    """Return the state of the user's own code by dotted path. Raises OwnCodeError."""
    return {name: code_state(name) for name in names}


def differences(ours: Mapping[str, str], theirs: Mapping[str, str], whose: str) -> list[str]:
    """Return a text for each entry of `ours` that `theirs` lacks or has otherwise."""
    return [
        f"{name} is {theirs.get(name, 'missing')} there, and {ours[name]} {whose}"
        for name in sorted(ours) if theirs.get(name) != ours[name]
    ]  # fmt: skip


def stage(folder: Path, names: Iterable[str]) -> None:
    """Copy sweep with its configs, and the modules of the user's own code, to a folder that the
    workers are sent. Modules that lie beside them and have been imported are copied too, since
    they may need these."""
    target = folder / PACKAGE.name
    shutil.copytree(PACKAGE, target, ignore=_IGNORED)
    for shipped in (conf_dir(), sweeps_dir()):
        if not (target / shipped.name).exists():
            shutil.copytree(shipped, target / shipped.name, ignore=_IGNORED)
    for name in names:
        load(name)
    own = [place for name in names for place in _places(import_module(name.partition(".")[0]))]
    beside = {place.parent for place in own}
    others = [place for module in _loaded() for place in _places(module) if place.parent in beside]
    for place in dict.fromkeys((*own, *others)):
        if place.is_dir():
            shutil.copytree(place, folder / place.name, ignore=_IGNORED, dirs_exist_ok=True)
        else:
            shutil.copy(place, folder / place.name)


def _loaded() -> list[ModuleType]:
    """Return the top-level modules that have been imported."""
    found = [module for name, module in sys.modules.items() if "." not in name and name != "__main__"]
    return [module for module in found if isinstance(module, ModuleType)]


def _places(module: ModuleType) -> list[Path]:
    """Return the file of a top-level module, or the folders of a package: several where it has no
    `__init__.py`. Empty for one that is installed, which workers need installed too."""
    file = getattr(module, "__file__", None)
    folders = [*getattr(module, "__path__", ())]
    places = [Path(place) for place in folders or ([] if file is None else [file])]
    if module.__name__ in (PACKAGE.name, *sys.stdlib_module_names):
        return []
    return [place for place in places if place.exists() and "site-packages" not in place.parts]


def extend_path(entries: Iterable[str]) -> None:
    """Append the folders of another process's `sys.path` that are here too."""
    sys.path += [entry for entry in entries if entry and entry not in sys.path and Path(entry).exists()]
