"""The files of a model at its location, found without reading a weight."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from sweep.errors import Fault, UserError, first_line

KEY = "model.path"
ALLOWED = "a hub id, a local directory (model.path=/dir) or pkg://PACKAGE/FOLDER of an installed package"

INDEX = "model.safetensors.index.json"
_WEIGHTS = ("model.safetensors", INDEX)
_PICKLED = (".bin", ".pt", ".pth", ".ckpt")
_HUB_SECONDS = 5.0
_POINTER, _LONGEST_POINTER = b"version https://git-lfs.github.com/", 1024  # bytes


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A located model. `location` and `revision` are arguments of transformers: a directory (of
    the hub's cache, where the hub cannot be asked), or a hub id with its commit. `at_hand`: the
    weights need no download. `drawn`: there are no files; `location` is a name only, and the
    weights are random."""

    location: str
    revision: str | None
    commit: str
    files: tuple[str, ...]
    at_hand: bool
    drawn: bool = False

    def weights(self) -> tuple[str, ...]:
        """Return the names of the safetensors files in the directory; before a download, the name
        of their index. Raises UserError if there are none, or only pickles, or if an index names a
        missing file, or a file is a pointer of Git LFS."""
        if self.drawn:
            return ()
        found = next((name for name in _WEIGHTS if name in self.files), None)
        if found is None:
            raise UserError.of(KEY, f"is {self.location}, but {_lack(self.files)}")
        folder = Path(self.location)
        if not folder.is_dir():
            return (found,)
        shards, rule = _shards(folder) if found == INDEX else ((found,), "")
        if rule:
            raise UserError.of(KEY, f"is {self.location}, but {INDEX} {rule}")
        if pointer := next((name for name in shards if _is_pointer(folder / name)), None):
            rule = f"{pointer} is a pointer of Git LFS in place of the weights; type git lfs pull in that folder"
            raise UserError.of(KEY, f"is {self.location}, but {rule}")
        return shards


def locate(location: str, revision: str | None) -> Checkpoint:
    """Return the checkpoint at `location`, a directory or a hub id. Raises UserError if the hub
    has no such model, or if it cannot be asked and its cache lacks the model."""
    if Path(location).is_dir():
        return Checkpoint(location, None, "", _listing(Path(location)), at_hand=True)
    return _on_hub(location, revision)


@contextmanager
def blamed(key: str, rule: str = "") -> Iterator[None]:
    """Report faults within the context under `key`; with a `rule`, errors of the hub and of files
    too."""
    from huggingface_hub.errors import HTTPError as NetworkError  # type: ignore[attr-defined]

    try:
        yield
    except UserError as error:
        faults = [Fault(key, fault.message.replace(f"{KEY}=", f"{key}=")) for fault in error.faults]
        raise UserError(faults) from None
    except (NetworkError, OSError) as error:
        if not rule:
            raise
        raise UserError.of(key, f"{rule}: {first_line(error)}") from None


def _is_pointer(file: Path) -> bool:
    """Return whether a file is the pointer that git leaves where Git LFS is not installed."""
    small = file.is_file() and file.stat().st_size < _LONGEST_POINTER
    return small and file.read_bytes().startswith(_POINTER)


def _listing(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(entry.name for entry in folder.iterdir()))


def _lack(files: Sequence[str]) -> str:
    pickled = [name for name in files if name.endswith(_PICKLED) and not name.startswith("training_args")]
    if not pickled:
        return f"it has no weights: neither {' nor '.join(_WEIGHTS)}"
    rule = f"its weights are pickled ({pickled[0]}), and only safetensors are loaded"
    return f"{rule}; convert them once with save_pretrained, or name a converted model.revision (refs/pr/… on the hub)"


def _shards(folder: Path) -> tuple[tuple[str, ...], str]:
    """Return the files that an index names, and its faults. Others wrote the index: a file is
    opened only if its name is that of a safetensors file in this folder."""
    try:
        index = json.loads((folder / INDEX).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        return (), f"cannot be read as JSON: {first_line(error)}"
    named = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(named, dict) or not named:
        return (), "names no file of weights: it has no weight_map"
    if odd := [name for name in named.values() if not isinstance(name, str)]:
        return (), f"names {json.dumps(odd[0])} as a file of weights"
    shards = sorted(set(named.values()))
    if outside := [name for name in shards if Path(name).name != name or "\\" in name or name == ".."]:
        return (), f"names {json.dumps(outside[0])}, which is not the name of a file in this folder"
    if pickled := [name for name in shards if not name.endswith(".safetensors")]:
        return (), f"names {pickled[0]}, and only safetensors are loaded; convert them once with save_pretrained"
    if missing := [name for name in shards if not (folder / name).is_file()]:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        return (), f"names {missing[0]}{more}, which the folder lacks: is the download complete?"
    return tuple(shards), ""


@lru_cache(maxsize=32)
def _on_hub(name: str, revision: str | None) -> Checkpoint:
    """Return the checkpoint of a hub model. The hub is asked once, without the client's retries,
    so that a machine with no network gets its answer at once."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError, RevisionNotFoundError
    from huggingface_hub.errors import HTTPError as NetworkError  # type: ignore[attr-defined]

    try:
        info = HfApi().model_info(name, revision=revision, timeout=_HUB_SECONDS)
    except GatedRepoError:
        rule = f"is {name}, which its authors give only to accounts they allow: log in to the hub with one"
        raise UserError.of(KEY, rule) from None
    except RevisionNotFoundError:
        rule = f"is {revision}, but {name} has no such branch, tag or commit; null takes the main branch"
        raise UserError.of("model.revision", rule) from None
    except (RepositoryNotFoundError, HFValidationError):
        raise UserError.of(KEY, f"is {name}, but there is no such directory and no such model on the hub") from None
    except (NetworkError, OSError) as error:
        return _in_cache(name, revision, error)
    files = tuple(sorted(file.rfilename for file in info.siblings or ()))
    return Checkpoint(name, info.sha, info.sha or "", files, at_hand=_cached(name, info.sha, files))


def _in_cache(name: str, revision: str | None, error: Exception) -> Checkpoint:
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(name, "config.json", revision=revision)
    if not isinstance(config, str):
        rule = (
            f"is {name}, but there is no such directory, and the hub cannot be reached, and its cache lacks the model"
        )
        raise UserError.of(KEY, f"{rule} ({first_line(error)}); it must be {ALLOWED}")
    folder = Path(config).parent
    return Checkpoint(str(folder), None, folder.name, _listing(folder), at_hand=True)


def _cached(name: str, commit: str | None, files: Sequence[str]) -> bool:
    from huggingface_hub import try_to_load_from_cache

    weights = [file for file in files if file.endswith(".safetensors") and "/" not in file]
    return all(isinstance(try_to_load_from_cache(name, file, revision=commit), str) for file in weights)
