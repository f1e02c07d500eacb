"""Trials of three folds on the rows of `support.trials`, and the engines that train them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from support.packs import Judge, Run, go_on, listen
from support.trials import HELD_OUT, ROWS, make_data
from sweep.data.splits import FoldRows, Rows
from sweep.data.tokenise import TokenisedData
from sweep.engine.folds import Folded
from sweep.engine.packed.engine import Packed
from sweep.engine.trainer import OneByOne
from sweep.model.base_model_cache import BaseModelCache
from sweep.records.trial import TrialPlan

FOLDS = 3
_SCORED = (range(22), range(22, 43), range(43, 59))  # of all rows: a fold trains on 40, 41 and 46 of 62


def make_folds(cache: Path, *, several: bool = False) -> TokenisedData:
    """Return the rows of the toy trials in three folds. Steps of 8 rows an epoch: 5, 6 and 6."""
    made = make_data(cache, several=several).splits
    whole = made.train + made.validation
    assert len(whole) == ROWS + HELD_OUT
    folds = tuple(
        FoldRows(_chosen(whole, [row for row in range(len(whole)) if row not in scored]), _chosen(whole, [*scored]))
        for scored in _SCORED
    )
    splits = replace(made, train=folds[0].train, validation=folds[0].validation, folds=folds, whole=whole)
    return TokenisedData(splits, cache)


def side_by_side(*trials: TrialPlan, data: TokenisedData, slots: int = FOLDS, judge: Judge = go_on) -> Run:
    """Train in packs of so many slots."""
    base_models = BaseModelCache("cpu")
    return listen(
        lambda best_dir: _folded(Packed(base_models, data, best_dir, slots=slots, together=FOLDS), data),
        *trials,
        judge=judge,
    )


def by_turns(*trials: TrialPlan, data: TokenisedData, base_models: BaseModelCache, judge: Judge = go_on) -> Run:
    """Train one fold at a time, by the Trainer or on cached features."""
    return listen(lambda best_dir: _folded(OneByOne(base_models, data, best_dir), data), *trials, judge=judge)


def _folded(inner: Packed | OneByOne, data: TokenisedData) -> Folded:
    return Folded(inner, FOLDS, len(data.splits.train))


def _chosen(rows: Rows, numbers: list[int]) -> Rows:
    return Rows(tuple(rows.texts[row] for row in numbers), None, tuple(rows.labels[row] for row in numbers))
