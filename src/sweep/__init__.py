"""Hyperparameter search for parameter-efficient text classification.

`sweep.load(RUN_DIR)` returns the winner of a finished study, which labels texts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from sweep.predict.classifier import Classifier

__all__ = ["load"]


def load(path: Path | str, *, device: str = "auto", base: str | None = None, choice: str | None = None) -> Classifier:
    """Return the winner of a run directory, or the model in a folder that `sweep` saved.

    `device` is auto, cpu or cuda. `base` is the present location of the base, if it has moved.
    `choice` is a value of `study.compare_by`, where a study compared several. Raises UserError
    where there is no such model, or its base cannot be reached.
    """
    from sweep.engine.numerics import tell_libraries
    from sweep.outputs import importing

    tell_libraries()
    with importing():
        from sweep.predict import loading  # only now: it imports torch

    return loading.load(path, device=device, base=base, choice=choice)
