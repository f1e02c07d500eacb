"""The schema of published figures, which a report prints beside the measured ones."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sweep.config.section import Count, NonNegative, Scalar, Section


class PublishedTrial(Section):
    """A published trial: its searched values and its evaluations."""

    params: dict[str, Scalar] = Field({}, description="by config key, as in a search space")
    eval: dict[str, float] = Field({}, description="last evaluation, `eval/…`")
    best: dict[str, float] = Field({}, description="best evaluation, or that of the model chosen, `eval/…`")
    eval_by_epoch: dict[str, tuple[float, ...]] = Field({}, description="`eval/…`, one value an epoch, at its end")


class PublishedTraining(Section):
    """The published training of the winner.

    Seconds and speeds include evaluations, as `transformers.Trainer` reports them.
    """

    steps: Count | None = None
    seconds: NonNegative | None = None
    samples_per_second: NonNegative | None = None
    steps_per_second: NonNegative | None = None
    flops: NonNegative | None = None
    seconds_per_epoch: NonNegative | None = None
    train_loss: float | None = Field(None, description="mean over all steps")
    train_loss_first: float | None = Field(None, description="first that was logged")
    train_loss_last: float | None = Field(None, description="last that was logged")
    train_loss_by_epoch: tuple[float, ...] = Field((), description="mean over the steps of each epoch")


class PublishedParameters(Section):
    """Published numbers of weights."""

    total: Annotated[int, Field(ge=1, le=10**15)] | None = None
    trainable: Annotated[int, Field(ge=1, le=10**15)] | None = None


class PublishedConfig(Section):
    """Figures that others published for this experiment.

    The report prints them beside the measured ones.
    """

    source: str = ""
    model: str = ""
    rows: dict[str, Count] = Field({}, description="by split: train, validation, test")
    trials: tuple[PublishedTrial, ...] = ()
    best_trial: Annotated[int, Field(ge=0)] | None = Field(None, description="position in `trials`")
    parameters: PublishedParameters = PublishedParameters()
    before: dict[str, float] = Field({}, description="the model before fine-tuning, `eval/…` or `test/…`")
    train: PublishedTraining = PublishedTraining()
    eval_samples_per_second: NonNegative | None = None
    device: str = ""
    test: dict[str, float] = Field({}, description="`test/…`")
    test_seconds: NonNegative | None = None
    test_samples_per_second: NonNegative | None = None
    notes: str = ""
