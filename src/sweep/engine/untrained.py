"""What a model that classifies by label words scores before it is fine-tuned."""

from __future__ import annotations

from functools import partial

from datasets import Dataset

from sweep.config.schema import Config
from sweep.data.collate import collator
from sweep.data.tokenise import TokenisedData
from sweep.engine.arguments import autocast
from sweep.engine.evaluation import measure, predict
from sweep.engine.loss import mean_loss
from sweep.model.adapter import without_adapter
from sweep.model.base_model_cache import BaseModelCache
from sweep.records.trial import Metrics


def before(config: Config, *, base_models: BaseModelCache, data: TokenisedData, test: Dataset) -> Metrics:
    """Return `eval/…` and `test/…` of the base alone, without the adapter. Empty where a head classifies, which is random before
    it is trained. `test` is tokenised; the precision is that of training.
    """
    labels, tokenizer = data.splits.labels, base_models.tokenizer(config.model)
    prompt = base_models.prompt(config, labels)
    if prompt is None:
        return {}
    splits = {"eval": data.validation(tokenizer, config.dataset.max_length, prompt), "test": test}
    size, collate = config.trainer.per_device_eval_batch_size, collator(tokenizer, labels)
    with (
        base_models.model(config, labels) as model,
        without_adapter(model),
        autocast(config.trainer, base_models.device),
    ):
        scored = partial(predict, model, collate=collate, batch_size=size, loss=mean_loss(config))
        found = {prefix: measure(labels.task, scored(rows), prefix) for prefix, rows in splits.items()}
    return {name: value for metrics in found.values() for name, value in metrics.items()}
