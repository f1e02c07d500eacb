"""The data set of an experiment, read once its config allows it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sweep.config.custom_metrics import trial_faults
from sweep.config.extra_metrics import label_of
from sweep.config.schema import Config, DatasetConfig
from sweep.data.labels import LabelSpace
from sweep.data.splits import Rows, Splits, label_rows, load_splits
from sweep.data.template import word_faults
from sweep.errors import Fault, UserError, closest, shortened
from sweep.plan.experiment import Experiment
from sweep.plan.faults import FaultList

_SHOWN = 400  # characters of label names in a message
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def load_data(experiment: Experiment, faults: FaultList) -> Splits | None:
    """Return the splits, or None where they cannot be read; the reasons are added to `faults`.

    A data set of the hub is downloaded only where nothing else is wrong. None too where `faults`
    concern the data set.
    """
    dataset = experiment.config.dataset
    if faults.concern("dataset.") or not dataset.path:
        return None
    if faults and _HUB_ID.fullmatch(dataset.path) and not Path(dataset.path).exists():
        return None
    try:
        return load_splits(dataset, said=experiment.origin.chosen)
    except UserError as error:
        faults.add(error.faults)
        return None


def label_word_faults(corners: Sequence[Config], labels: LabelSpace) -> list[Fault]:
    """Return the faults of each prompt's label words, once each."""
    prompts = (corner.prompt for corner in corners if corner.prompt is not None)
    return list(dict.fromkeys(fault for prompt in prompts for fault in word_faults(prompt, labels)))


def own_metric_faults(dataset: DatasetConfig, splits: Splits) -> list[Fault]:
    """Return the faults of the user's own metrics, each tried on labels of the validation rows, of
    each fold where there are folds."""
    labels = (np.asarray(rows.labels, dtype=np.int64) for rows in _scored(splits))
    return list(dict.fromkeys(fault for each in labels for fault in trial_faults(dataset, each, len(splits.labels))))


def _scored(splits: Splits) -> list[Rows]:
    """Return the validation rows of each fold, or of the one division."""
    return [fold.validation for fold in splits.folds] or [splits.validation]


def label_metric_faults(config: Config, splits: Splits) -> list[Fault]:
    """Return the faults of the metrics of one label: a label that the data do not have, and an
    objective whose label no validation row has, of any fold."""
    study, names = config.study, splits.labels.names
    rows = [label_rows(splits.labels, part) for part in _scored(splits)]
    counts = {name: sum(each) for name, *each in zip(names, *rows, strict=True)}
    asked = [("dataset.metrics", name, label_of(name)) for name in config.dataset.metrics]
    for key, metric in (("study.metric", study.metric), ("study.second_metric", study.second_metric or "")):
        asked.append((key, metric, label_of(metric.removeprefix("eval/"))))
    faults = []
    for key, metric, label in asked:
        if label is None:
            continue
        if label not in counts:
            rule = f"names {metric}, but there is no label {label!r}{closest(label, names)}"
            faults.append(Fault(key, f"{rule}; the labels are: {shortened(', '.join(names), _SHOWN)}"))
        elif not counts[label] and key != "dataset.metrics":
            faults.append(Fault(key, f"is {metric}, but no validation row has the label {label!r}, so it is always 0"))
    return faults
