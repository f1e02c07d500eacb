"""What has to be known to repeat a run: versions, code, data, model and machine."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

PACKAGES = (
    "sweep", "torch", "transformers", "peft", "bitsandbytes", "accelerate", "optuna", "wandb", "datasets", "evaluate",
    "hydra-core", "omegaconf", "scikit-learn", "numpy", "tokenizers", "safetensors",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class GitState:
    """`diff` is the whole uncommitted change against HEAD; empty strings where the code is no git checkout."""

    commit: str = ""
    dirty: bool = False
    diff: str = ""


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Rows of the split `split` whose text is in the split `also_in` too; where the two are the same split, rows that repeat
    an earlier row. `exact` have the same text, `folded` the same but for upper case and white space (the exact ones
    included); `relabelled` of the folded ones have another label than some row with that text in `also_in`. Of a pair, both
    texts count."""

    split: str
    also_in: str
    exact: int
    folded: int
    relabelled: int


@dataclass(frozen=True, slots=True)
class DataState:
    """`rows` by split name (train, validation, test) after subsampling; `fingerprint` covers texts, labels and order.

    `label_rows` counts the rows of each label by split, in the order of `label_names`; `dropped` counts the rows left out
    by split and reason; `notes` is what the user was told about the data. All four are empty in records that lack them.
    """

    source: str
    revision: str
    fingerprint: str
    rows: Mapping[str, int]
    label_names: tuple[str, ...]
    label_rows: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    duplicates: tuple[Duplicates, ...] = ()
    dropped: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelState:
    """`fingerprint` is of the weight files' bytes for a local directory, the resolved commit for a hub id."""

    path: str
    revision: str
    fingerprint: str


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def utc(moment: datetime | None) -> str:
    """A moment without a zone is local, as Optuna's are; none at all is now."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds") if moment else now()


def package_versions() -> dict[str, str]:
    """Versions of the packages that decide numbers; reads metadata and imports none of them."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, str]:
    return {"python": platform.python_version(), "system": platform.platform(terse=True), "cpu": _cpu_name()}


def git_state(folder: Path) -> GitState:
    """The state of the checkout that holds `folder`; untracked files are not part of the diff.

    Empty where git does not track the folder: an installed package may lie inside somebody else's checkout.
    """
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit or not _git(folder, "ls-files", "."):
        return GitState()
    diff = _git(folder, "diff", "HEAD")
    return GitState(commit=commit.strip(), dirty=bool(diff), diff=diff)


@dataclass(slots=True)
class Fingerprint:
    """SHA-256 over pieces, each preceded by its length, so that no two lists of pieces collide."""

    _hash: hashlib._Hash = field(default_factory=hashlib.sha256)

    def add(self, piece: str | bytes) -> Fingerprint:
        data = piece.encode() if isinstance(piece, str) else piece
        self._hash.update(len(data).to_bytes(8, "big"))
        self._hash.update(data)
        return self

    def add_file(self, path: Path) -> Fingerprint:
        with path.open("rb") as file:
            return self.add(hashlib.file_digest(file, "sha256").digest())

    def hex(self) -> str:
        return self._hash.hexdigest()


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, encoding="utf-8", errors="replace", timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
