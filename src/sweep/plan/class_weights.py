"""Rules between the training loss and the labels of the train rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sweep.config.schema import Config
from sweep.data.raw import listed
from sweep.data.splits import Splits, label_rows
from sweep.errors import Fault

WEIGHTS = "trainer.class_weights"
TAU = "trainer.logit_adjustment_tau"

_NAMED = 5  # labels in a message


def class_weight_faults(corners: Sequence[Config], splits: Splits) -> list[Fault]:
    """Return the faults of each config's weights and logit adjustment, once each. With folds the
    rows of all count: one that lacks a label trains without its weight."""
    if all(config.trainer.plain_loss for config in corners):
        return []
    counts, rows = label_rows(splits.labels, splits.all_train), len(splits.all_train)
    several = splits.labels.task == "multi_label"
    names = zip(splits.labels.names, counts, strict=True)
    lacking = [name for name, count in names if not count or (several and count == rows)]
    rule = _rule(lacking, several=several) if lacking else ""
    found = (Fault(key, text) for config in corners for key, text in _faults(config, splits.labels.names, rule))
    return list(dict.fromkeys(found))


def _faults(config: Config, names: Sequence[str], lacking: str) -> Iterator[tuple[str, str]]:
    trainer = config.trainer
    weights, tau = trainer.class_weights, trainer.logit_adjustment_tau
    if isinstance(weights, tuple) and len(weights) != len(names):
        order = listed(names, _NAMED)
        rule = f"has {len(weights)} weights, but the data has {len(names)} labels, in this order: {order}"
        yield WEIGHTS, f"{rule}; give one weight for each of them, or balanced"
    if weights == "balanced" and lacking:
        yield WEIGHTS, f"is balanced, but {lacking}; give a list of weights, or leave the labels out of the data"
    if tau > 0 and lacking:
        yield TAU, f"is {tau:g}, but {lacking}; use 0, or leave the labels out of the data"


def _rule(lacking: Sequence[str], *, several: bool) -> str:
    """Return why these labels have no weight."""
    where = "apply to no train row, or to all" if several else "have no train row"
    return f"these labels {where}: {listed(lacking, _NAMED)}"
