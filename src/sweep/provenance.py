"""The facts that are needed to repeat a run: versions, code, data, model and machine."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Literal

PACKAGES = (
    "sweep", "torch", "transformers", "peft", "bitsandbytes", "accelerate", "optuna", "wandb", "datasets", "evaluate",
    "hydra-core", "omegaconf", "scikit-learn", "numpy", "tokenizers", "safetensors",
)  # fmt: skip

_LARGE = 2**20  # bytes


@dataclass(frozen=True, slots=True)
class GitState:
    """The commit of the code.

    `diff` is the uncommitted change against HEAD. Empty strings if the code is no git checkout.
    """

    commit: str = ""
    dirty: bool = False
    diff: str = ""


@dataclass(frozen=True, slots=True)
class Duplicates:
    """The number of rows of `split` whose text is also in the split `also_in`; for one split, rows
    that repeat an earlier row.

    `exact` rows have the same text, `folded` rows the same text apart from case and white space
    (exact ones included). `relabelled` counts the folded rows whose label differs from that of a
    row with the same text in `also_in`. For pairs, both texts must agree.
    """

    split: str
    also_in: str
    exact: int
    folded: int
    relabelled: int


@dataclass(frozen=True, slots=True)
class Division:
    """The way in which rows were held out: `by` the values of a `column`, or at random.

    `groups` counts the groups of each split, and `shared` those that train has too; `ranges` holds
    the first and the last time of each split. `folds` holds the rows of train and of validation of
    each fold; empty without folds.
    """

    by: Literal["random", "group", "time"] = "random"
    column: str = ""
    groups: Mapping[str, int] = field(default_factory=dict)
    shared: Mapping[str, int] = field(default_factory=dict)
    ranges: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    folds: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class DataState:
    """The data of a run. `fingerprint` covers texts, labels and their order.

    `rows` counts the rows by split (train, validation, test) after subsampling; `label_rows`
    counts the rows of each label by split, in the order of `label_names`; `dropped` counts the
    rows that were left out, by split and reason; `notes` are the notes that the user saw. Older
    records may lack the last five fields.

    With folds, train counts all rows that folds were made of, and validation the rows that score
    some fold; `division.folds` has those of each fold, and `duplicates` the validation rows whose
    text is in the train part of their own fold. Older records count the rows of the first fold.
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
    division: Division = Division()

    @property
    def scored(self) -> int:
        """Return the number of rows that score a trial: those of validation, or of all folds."""
        folds = self.division.folds
        return sum(scored for _, scored in folds) if folds else self.rows.get("validation", 0)


@dataclass(frozen=True, slots=True)
class ModelState:
    """The model of a run.

    `fingerprint` is a hash of the weight files of a local directory, or the commit of a hub model.
    """

    path: str
    revision: str
    fingerprint: str


def now() -> str:
    """Return the present moment as ISO 8601 in UTC, with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def utc(moment: datetime | None) -> str:
    """Return a moment as ISO 8601 in UTC.

    One without a time zone is local time, as Optuna's are; None is the present.
    """
    return moment.astimezone(UTC).isoformat(timespec="milliseconds") if moment else now()


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that affect the numbers, without importing them."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, str]:
    """Return the version of Python, the operating system and the CPU."""
    return {"python": platform.python_version(), "system": platform.platform(terse=True), "cpu": _cpu_name()}


def git_state(folder: Path) -> GitState:
    """Return the state of the checkout that holds `folder`; the diff leaves out untracked files.

    Empty if git does not track the folder: an installed package may be inside a checkout of other
    code.
    """
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit or not _git(folder, "ls-files", "."):
        return GitState()
    diff = _git(folder, "diff", "HEAD")
    return GitState(commit=commit.strip(), dirty=bool(diff), diff=diff)


@dataclass(slots=True)
class Fingerprint:
    """A SHA-256 hash of a list of pieces.

    Each is preceded by its length, so that no two lists give the same bytes.
    """

    _hash: hashlib._Hash = field(default_factory=hashlib.sha256)

    def add(self, piece: str | bytes) -> Fingerprint:
        """Add a piece, and return the fingerprint itself."""
        data = piece.encode() if isinstance(piece, str) else piece
        self._hash.update(len(data).to_bytes(8, "big"))
        self._hash.update(data)
        return self

    def add_file(self, path: Path) -> Fingerprint:
        """Add the hash of a file's bytes, and return the fingerprint itself. A large file is read
        once in a process, as long as its size and its time stay the same."""
        found = path.stat()
        large = found.st_size > _LARGE
        digest = _kept_digest(path, found.st_size, found.st_mtime_ns, found.st_ino) if large else _digest(path)
        return self.add(digest)

    def hex(self) -> str:
        """Return the hash as 64 hexadecimal digits."""
        return self._hash.hexdigest()


def _digest(path: Path, *_: int) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


_kept_digest = lru_cache(maxsize=256)(_digest)


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
