"""Names of runs, and addresses of runs that several trackers record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sweep.records.trial import TrialPlan
from sweep.track.tracker import JobType

WANDB = "W&B"  # the label of every server that the W&B client speaks to
_BETWEEN = "; "


def labelled(label: str, address: str) -> str:
    """Return an address with the label of its tracker; empty for an empty address."""
    return f"{label}: {address}" if address else ""


def joined(addresses: Iterable[str]) -> str:
    """Return several addresses as one text, without empty ones."""
    return _BETWEEN.join(filter(None, addresses))


def own_address(recorded: str, label: str) -> str:
    """Return the part of a recorded address (`tracker_run`) that the tracker with this label
    wrote.

    An address without a label is W&B's, which writes none if it is the only tracker.
    """
    parts = _parts(recorded)
    if label == WANDB and not parts:
        return recorded
    return parts.get(label, "")


def without(recorded: str, label: str) -> str:
    """Return a recorded address without the part that the tracker with this label wrote."""
    parts = _parts(recorded)
    if label == WANDB and not parts:
        return ""
    return joined(labelled(other, address) for other, address in parts.items() if other != label)


def short_name(trial: TrialPlan, job_type: JobType) -> str:
    """Return a run's name within its study, which may be the name of a folder:

    `0003`, `0003-seed-7`, `final`, `refit-ia3`.
    """
    study = trial.config.study
    match job_type:
        case JobType.FINAL | JobType.REFIT:
            choice = str(trial.params.get(study.compare_by)) if study.compare_by else ""
            safe = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in choice)
            return f"{job_type}-{safe}" if safe else str(job_type)
        case JobType.CONFIRM:
            return f"{trial.number:04d}-seed-{trial.config.trainer.seed}"
        case _:
            return f"{trial.number:04d}"


def _parts(recorded: str) -> Mapping[str, str]:
    pairs = (part.partition(": ") for part in recorded.split(_BETWEEN))
    return {label: address for label, _, address in pairs if address}
