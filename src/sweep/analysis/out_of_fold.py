"""The train rows, each predicted by the fold that did not see it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sweep.analysis.confusion import Confusion as Matrices
from sweep.analysis.confusion import confusion
from sweep.analysis.facts import Facts
from sweep.analysis.failures import Failures, failures
from sweep.analysis.generalisation import Confusion, confusions
from sweep.records.final import FinalRecord


@dataclass(frozen=True, slots=True)
class OutOfFold:
    """So many `rows` of `train` were scored by `folds`: not all with `dataset.max_eval_samples`
    and by time. `fitted` says that thresholds or a temperature were fitted to them."""

    rows: int
    train: int
    folds: int
    fitted: bool
    confusion: Confusion
    failures: Failures | None


def out_of_fold(facts: Facts) -> OutOfFold | None:
    """Return what the folds of the winner took for what; None without folds, and where the winner
    is of a version that did not keep their predictions."""
    final, division = facts.final, facts.lock.data.division
    if final is None or not final.out_of_fold:
        return None
    return OutOfFold(
        rows=facts.lock.data.scored,
        train=max([facts.lock.data.rows.get("train", 0), *map(sum, division.folds)]),
        folds=len(division.folds),
        fitted=bool(final.tuned) or final.calibration is not None,
        confusion=confusions(facts, _counted(final)),
        failures=failures(facts, facts.out_of_fold),
    )


def matrices(facts: Facts) -> Matrices | None:
    """Return the matrices of the same counts; None without them."""
    if facts.final is None or not facts.final.out_of_fold:
        return None
    return confusion(_counted(facts.final), multi_label=facts.multi_label)


def _counted(final: FinalRecord) -> FinalRecord:
    """Return the record with the counts of the folds in the place of those on test."""
    return replace(final, confusion=final.out_of_fold)
