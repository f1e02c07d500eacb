"""The keys of `trainer` that decide the loss: the one that is trained with, and the temperature
that makes the winner's probabilities fit."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from sweep.config.section import Section

Weight = Annotated[float, Field(gt=0, le=10**6)]


def _listed(value: Any) -> Any:
    """Return a list that is written as a text, as the choices of a search space have it, and any
    list as a tuple."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except ValueError:
            return value
    return tuple(value) if isinstance(value, list) else value


ClassWeights = Annotated[
    Literal["none", "balanced"] | Annotated[tuple[Weight, ...], Field(min_length=2)], BeforeValidator(_listed)
]


class LossConfig(Section):
    """The loss of a trial, and how the winner's probabilities are calibrated."""

    class_weights: ClassWeights = Field(
        "none",
        description="weights of labels in the training loss; balanced: by the train rows of each, as scikit-learn weighs "
        "classes, and for multi-label as BCEWithLogitsLoss's pos_weight; or a list in label order",
    )
    focal_gamma: Annotated[float, Field(ge=0, le=100)] = Field(
        0.0, description="above 0 trains with the focal loss: rows that are right already count less"
    )
    logit_adjustment_tau: Annotated[float, Field(ge=0, le=100)] = Field(
        0.0, description="above 0 trains on logits plus tau times the log of each label's share of train; 1 is usual"
    )
    calibration: Literal["none", "temperature"] = Field(
        "none", description="temperature: the winner's logits are divided by one number, fitted on validation"
    )

    @property
    def plain_loss(self) -> bool:
        """Return whether the training loss weighs all rows and labels alike."""
        return self.class_weights == "none" and self.focal_gamma == 0 and self.logit_adjustment_tau == 0
