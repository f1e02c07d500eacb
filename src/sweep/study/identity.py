"""The values that a run must share with the study it resumes."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any

from sweep.config.quoting import typed
from sweep.config.schema import Config
from sweep.errors import Fault, UserError
from sweep.provenance import Fingerprint
from sweep.records.lock import Lock

# Keys that may differ between the first run and a later one: limits, places, and what is shown.
_FREE = ("run_dir", "title", "published", "tracker", "study.n_trials", "study.timeout", "study.trial_timeout",
         "study.dry_run", "study.confirm_seeds", "study.confirm_top", "study.refit", "study.storage", "study.space",
         "study.enqueue", "study.snapshots", "study.snapshot_every", "study.budget", "study.max_failures_in_a_row",
         "study.stop", "study.warm_start", "trainer.save_newest", "trainer.save_best", "engine", "launcher", "dataset.path",
         "dataset.encoding", "model.path", "model.config", "model.tokenizer")  # fmt: skip
_FEW = 4  # overrides that a message spells out


def identity(
    config: Config, space: Mapping[str, Any], *, data: str, model: str, code: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return the values that make up an experiment, by key.

    Data and model count by fingerprint, wherever they are stored.

    `code` holds states of code by dotted path. A metric of the user's own counts with its state,
    since scores of two metrics cannot be mixed; a sampler or pruner does not.
    """
    flat = {key: value for key, value in _flat(config.model_dump(mode="json"), "") if not _may_differ(key)}
    return (
        flat
        | {f"space {key}": entry for key, entry in space.items()}
        | {f"code of {path}": (code or {}).get(path) for path in config.dataset.own_metrics}
        | {"data fingerprint": data, "model fingerprint": model}
    )


def fingerprint(parts: Mapping[str, Any]) -> str:
    """Return a fingerprint of the values that `identity` returns."""
    total = Fingerprint()
    for key in sorted(parts):
        total.add(key).add(repr(parts[key]))
    return total.hex()


def refuse_if_changed(lock: Lock, new: Lock) -> None:
    """Refuse to resume a study with another experiment.

    Raises UserError that names each difference.
    """
    if lock.experiment == new.experiment:
        return
    old_parts, new_parts = _parts(lock), _parts(new)
    changed = [key for key in sorted({*old_parts, *new_parts}) if old_parts.get(key) != new_parts.get(key)]
    if not changed:  # a later version has added keys, which the first fingerprint lacks
        return
    faults = [
        Fault(
            key,
            f"was {old_parts.get(key, 'not there')!r} when this study began, and is {new_parts.get(key, 'not there')!r} now",
        )
        for key in changed
    ]
    way_out = (
        f"{new.config.run_dir} holds another experiment; put the values back{_typed(lock, new, changed)}, or name a new "
        "study.study_name or run_dir"
    )
    raise UserError([*faults, Fault("run_dir", way_out)])


def _typed(lock: Lock, new: Lock, changed: Iterable[str]) -> str:
    """Return the overrides for the values that the study began with, in brackets; empty for more
    than `_FEW` of them."""
    old, now = values_of(lock), values_of(new)
    known = [typed(key, old[key]) for key in changed if key in old and key in now]
    return f" ({' '.join(known)})" if 0 < len(known) <= _FEW else ""


def changed_surroundings(old: Lock, new: Lock) -> list[tuple[str, str, str]]:
    """Return the name, old value and new value of each changed version, machine fact and commit.

    They may change the numbers, but are no part of the experiment.
    """
    before = {**old.versions, **old.machine, "the commit": old.git.commit[:12]}
    after = {**new.versions, **new.machine, "the commit": new.git.commit[:12]}
    return [(name, was, after[name]) for name, was in before.items() if after.get(name, was) != was]


def _parts(lock: Lock) -> dict[str, Any]:
    return identity(
        lock.config, lock.space, data=lock.data.fingerprint, model=lock.model.fingerprint, code=lock.versions
    )


def values_of(lock: Lock) -> dict[str, Any]:
    """Return each value of a lock's config by its key."""
    return dict(_flat(lock.config.model_dump(mode="json"), ""))


def differing(lock: Lock, other: Lock, *, apart_from: Container[str]) -> list[str]:
    """Return the keys in which two experiments differ, so that the scores of their trials do not
    compare: without those in `apart_from`, the seeds and how points are searched."""
    ours, theirs = _parts(lock), _parts(other)
    return [
        key for key in sorted({*ours, *theirs})
        if key not in apart_from and not _of_search(key) and ours.get(key) != theirs.get(key)
    ]  # fmt: skip


def _of_search(key: str) -> bool:
    """Return whether a key has to do with the choice of points and seeds, and not with scores."""
    scored = ("study.metric", "study.direction")
    return key == "trainer.seed" or key.startswith("space ") or (key.startswith("study.") and key not in scored)


def _may_differ(key: str) -> bool:
    return any(key == free or key.startswith(f"{free}.") for free in _FREE)


def _flat(tree: Mapping[str, Any], prefix: str) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in tree.items():
        if isinstance(value, Mapping):
            found += _flat(value, f"{prefix}{key}.")
        else:
            found.append((prefix + key, value))
    return found
