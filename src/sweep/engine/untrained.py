"""The scores of a model that classifies by label words, before it is fine-tuned."""

from __future__ import annotations

from functools import partial

from datasets import Dataset

from sweep.config.settings import TrainSettings
from sweep.data.collate import collator
from sweep.data.tokenise import TokenisedData
from sweep.engine.arguments import autocast
from sweep.engine.evaluation import Measured, measure, predict
from sweep.engine.folded_trial import mean_measured
from sweep.engine.loss import mean_loss
from sweep.model.adapter import without_adapter
from sweep.model.base_model_cache import BaseModelCache


def before(settings: TrainSettings, *, base_models: BaseModelCache, data: TokenisedData, test: Dataset) -> Measured:
    """Return `eval/…` and `test/…` of the base alone, without the adapter. Empty
    where a head classifies, which is random before it is trained. `test` is tokenised; the
    precision is that of training. With folds `eval/…` are means over the folds, as a trial's
    are."""
    labels, tokenizer = data.splits.labels, base_models.tokenizer(settings.model)
    prompt = base_models.prompt(settings, labels)
    if prompt is None:
        return Measured({})
    folds = [data.of_fold(number) for number in range(1, len(data.splits.folds) + 1)]
    held_out = [one.validation(tokenizer, settings.max_length, prompt) for one in folds or [data]]
    size, collate = settings.trainer.per_device_eval_batch_size, collator(tokenizer, labels)
    with (
        base_models.model(settings, labels) as model,
        without_adapter(model),
        autocast(settings.trainer, base_models.device),
    ):
        scored = partial(predict, model, collate=collate, batch_size=size, loss=mean_loss(settings))
        measured = partial(measure, labels.task, own=settings.metrics, labels=labels.names)
        evaluated = mean_measured([measured(predictions=scored(rows), prefix="eval") for rows in held_out])
        tested = measured(predictions=scored(test), prefix="test")
        return Measured({**evaluated.values, **tested.values}, {**evaluated.failed, **tested.failed})
