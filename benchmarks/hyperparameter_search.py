"""The baseline of `benchmarks.overhead`: what a user would write with transformers alone.

    python -m benchmarks.hyperparameter_search TRIALS OUT.json

writes, for each trial, its seconds outside training and evaluation.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from datasets import Dataset
from peft import LoraConfig, TaskType, get_peft_model
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from sweep.config.compose import Composer
from sweep.config.parse import parse
from sweep.data.splits import Rows, load_splits
from sweep.model.paths import resolve

SAMPLES = ("dataset.max_train_samples=128", "dataset.max_eval_samples=64")


class Inside(TrainerCallback):  # type: ignore[misc]
    """Seconds between the beginning and the end of training, evaluations included: each happens inside."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._began = 0.0

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self._began = time.perf_counter()

    def on_train_end(self, *_: Any, **__: Any) -> None:
        self.seconds.append(time.perf_counter() - self._began)


def main() -> None:
    trials, out = int(sys.argv[1]), Path(sys.argv[2])
    config, _ = parse(Composer().compose(["+experiment=quickstart", *SAMPLES]).resolved(), str)
    splits, path = load_splits(config.dataset), resolve(config.model.path)
    tokenizer = AutoTokenizer.from_pretrained(path)

    def tokenised(rows: Rows) -> Dataset:
        return Dataset.from_dict({**tokenizer(list(rows.texts), truncation=True), "labels": list(rows.labels)})

    def model_init(_trial: Any = None) -> Any:
        base = AutoModelForSequenceClassification.from_pretrained(path, num_labels=len(splits.labels))
        return get_peft_model(base, LoraConfig(TaskType.SEQ_CLS, r=8, lora_alpha=16, lora_dropout=0.05))

    def metrics(prediction: Any) -> dict[str, float]:
        return {"accuracy": float((prediction.predictions.argmax(-1) == prediction.label_ids).mean())}

    inside, ends = Inside(), [time.perf_counter()]

    def objective(found: dict[str, float]) -> float:
        ends.append(time.perf_counter())
        return found["eval_accuracy"]

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder, per_device_train_batch_size=8, per_device_eval_batch_size=32, num_train_epochs=1, eval_strategy="epoch",
            save_strategy="no", report_to="wandb", disable_tqdm=True, learning_rate=1e-3, logging_steps=10, use_cpu=True,
        )  # fmt: skip
        trainer = Trainer(
            model_init=model_init, args=arguments, data_collator=DataCollatorWithPadding(tokenizer),
            train_dataset=tokenised(splits.train), eval_dataset=tokenised(splits.validation), compute_metrics=metrics,
            callbacks=[inside],
        )  # fmt: skip
        trainer.hyperparameter_search(
            hp_space=lambda trial: {"seed": trial.suggest_int("seed", 0, 10**6)}, backend="optuna", n_trials=trials,
            direction="maximize", compute_objective=objective,
        )  # fmt: skip
    out.write_text(json.dumps([ends[i + 1] - ends[i] - inside.seconds[i] for i in range(trials)]))


if __name__ == "__main__":
    main()
