"""The code that workers run: its versions and fingerprints."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from sweep.config.custom_code import code_state, imported_states, is_own, sent_state
from sweep.config.schema import Config
from sweep.provenance import Fingerprint, package_versions

PACKAGE = Path(__file__).resolve().parents[1]

IMPORTED = "what own code imports"  # in records

# Packages that a worker does not train with; sweep itself is compared by its files.
_UNUSED = ("sweep", "wandb", "optuna", "evaluate", "hydra-core", "omegaconf")


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
    """Return the state of the user's own code by dotted path, for records, and one of all modules
    of the user's own that it imports. Raises OwnCodeError."""
    found, total = {name: code_state(name) for name in names}, Fingerprint()
    imports = imported_states(found)
    for name, state in sorted(imports.items()):
        total.add(name).add(state)
    return found | ({IMPORTED: f"sha256 {total.hex()[:16]}"} if imports else {})


def sent_code(names: Iterable[str]) -> dict[str, str]:
    """Return the state of the user's own code by dotted path, as it is compared with that of a
    worker. Raises OwnCodeError."""
    return {name: sent_state(name) for name in names}


def changed(ours: Mapping[str, str], theirs: Mapping[str, str]) -> list[str]:
    """Return the names that both have, with different values."""
    return [name for name in sorted(ours) if theirs.get(name, ours[name]) != ours[name]]


def differences(ours: Mapping[str, str], theirs: Mapping[str, str], whose: str) -> list[str]:
    """Return a text for each entry of `ours` that `theirs` lacks or has otherwise."""
    return [
        f"{name} is {theirs.get(name, 'missing')} there, and {ours[name]} {whose}"
        for name in sorted(ours) if theirs.get(name) != ours[name]
    ]  # fmt: skip


def extend_path(entries: Iterable[str]) -> None:
    """Append the folders of another process's `sys.path` that are here too."""
    sys.path += [entry for entry in entries if entry and entry not in sys.path and Path(entry).exists()]
