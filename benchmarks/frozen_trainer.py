"""The baseline of `benchmarks.frozen_base`: the head trained by the Trainer, with transformers
alone.

    python -m benchmarks.frozen_trainer TRIALS.json OUT.json OVERRIDES…

trains each trial of TRIALS.json and writes its wall seconds and its accuracy after one epoch.
Weights are loaded once; each trial starts from a copy of the model with a new head, drawn from the
project's seed, over a base held in evaluation mode.
"""

from __future__ import annotations

import copy
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import wandb
from datasets import Dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)

from sweep.config.compose import Composer
from sweep.config.parse import parse
from sweep.data.splits import Rows, load_splits
from sweep.model.paths import resolve


def main() -> None:
    trials, out = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    config, _ = parse(Composer().compose(sys.argv[3:]).resolved(), str)
    splits, path = load_splits(config.dataset), resolve(config.model.path)
    tokenizer = AutoTokenizer.from_pretrained(path)
    loaded = AutoModelForSequenceClassification.from_pretrained(path, num_labels=len(splits.labels))
    loaded.base_model.requires_grad_(False)

    def tokenised(rows: Rows) -> Dataset:
        tokens = tokenizer(list(rows.texts), truncation=True)
        return Dataset.from_dict({**tokens, "labels": list(rows.labels)})

    train, validation = tokenised(splits.train), tokenised(splits.validation)
    collate = DataCollatorWithPadding(tokenizer)

    def one(params: dict[str, Any]) -> dict[str, float]:
        began = time.perf_counter()
        torch.manual_seed(config.trainer.seed)
        model = copy.deepcopy(loaded)
        torch.nn.init.normal_(model.classifier.weight, std=model.config.initializer_range)
        torch.nn.init.zeros_(model.classifier.bias)
        model.base_model.eval().train = lambda *_: model.base_model  # it stays in evaluation mode
        with tempfile.TemporaryDirectory() as folder:
            arguments = TrainingArguments(
                folder, per_device_eval_batch_size=32, eval_strategy="epoch", save_strategy="no", report_to="wandb",
                disable_tqdm=True, logging_steps=10, use_cpu=True, train_sampling_strategy="group_by_length",
                seed=config.trainer.seed, **{key.rpartition(".")[2]: value for key, value in params.items()},
            )  # fmt: skip
            trainer = Trainer(
                model=model, args=arguments, data_collator=collate, train_dataset=train, eval_dataset=validation,
                compute_metrics=_accuracy,
            )  # fmt: skip
            trainer.train()
        wandb.finish()
        scores = [row["eval_accuracy"] for row in trainer.state.log_history if "eval_accuracy" in row]
        return {"seconds": time.perf_counter() - began, "accuracy": scores[0]}

    out.write_text(json.dumps([one(trial["params"]) for trial in trials]))


def _accuracy(prediction: Any) -> dict[str, float]:
    return {"accuracy": float((prediction.predictions.argmax(-1) == prediction.label_ids).mean())}


if __name__ == "__main__":
    main()
