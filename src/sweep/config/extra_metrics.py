"""The metrics beside those of every evaluation, and the direction of each metric.

They are computed where `dataset.metrics` or `study.metric` names them, in
`sweep.engine.extra_metrics`.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic_core import PydanticCustomError

LABEL_F1 = "f1/"  # before the name of a label
OF_PROBABILITIES = ("auroc_macro", "auroc_micro", "average_precision_macro", "average_precision_micro", "log_loss",
                    "brier", "ece")  # fmt: skip
EXTRA_BY_TASK: Mapping[str, tuple[str, ...]] = {
    "single_label": ("mcc", "balanced_accuracy", *OF_PROBABILITIES),
    "multi_label": OF_PROBABILITIES,
}
_LOWER = ("loss", "log_loss", "brier", "ece")
SPLITS = ("eval", "test")


def short(name: str) -> str:
    """Return the name of a metric without its split. A label in it may hold slashes."""
    split, _, rest = name.partition("/")
    return rest if split in SPLITS else name


def label_of(name: str) -> str | None:
    """Return the label whose F1 a short name stands for; None for another metric."""
    return name.removeprefix(LABEL_F1) if name.startswith(LABEL_F1) else None


def is_extra(name: str) -> bool:
    """Return whether a short name is that of an extra metric, of any task."""
    return bool(label_of(name)) or any(name in names for names in EXTRA_BY_TASK.values())


def lower_is_better(name: str) -> bool:
    """Return whether less is better of a metric that is none of the user's own."""
    return short(name) in _LOWER


def dotted(path: str) -> str:
    """Return a dotted path. Raises PydanticCustomError for another text."""
    parts = path.split(".")
    if len(parts) < 2 or not all(part.isidentifier() for part in parts):
        raise PydanticCustomError("dotted", "be the dotted path of your own, such as mypackage.MyClass")
    return path


def extra_or_dotted(name: str) -> str:
    """Return an entry of `dataset.metrics`. Raises PydanticCustomError for one that is neither an
    extra metric nor a dotted path."""
    try:
        return name if is_extra(name) else dotted(name)
    except PydanticCustomError:
        names = ", ".join(EXTRA_BY_TASK["single_label"])
        rule = f"be one of {names} and {LABEL_F1}LABEL, or the dotted path of a metric of your own"
        raise PydanticCustomError("metric", "{rule}", {"rule": rule}) from None
