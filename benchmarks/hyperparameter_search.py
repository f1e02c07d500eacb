"""The baseline of several benchmarks: what a user would write with transformers, PEFT and Optuna
alone.

    python -m benchmarks.hyperparameter_search TRIALS.json OUT.json VARIANT OVERRIDES…

trains the points of TRIALS.json, a list of values by config key, over the experiment that
OVERRIDES… make, with `Trainer.hyperparameter_search(backend="optuna")`, a `model_init` that loads
the base and wraps it, and the Trainer's own W&B callback. VARIANT is `dynamic` (batches padded to
their longest row), `grouped` (and drawn from rows of like length) or `padded` (every row padded to
`dataset.max_length`). What OUT.json holds is `benchmarks.sides.Side`.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import optuna
import torch
from datasets import Dataset
from peft import LoraConfig, TaskType, get_peft_model, prepare_model_for_kbit_training
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BitsAndBytesConfig,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from sweep.config.compose import Composer
from sweep.config.parse import parse
from sweep.config.schema import Config, Scalar
from sweep.data.splits import Rows, load_splits
from sweep.model.adapters.lora import LoraSettings
from sweep.model.paths import resolve

VARIANTS = ("dynamic", "grouped", "padded")


class Watch(TrainerCallback):  # type: ignore[misc]
    """A callback that records the rows, the scores and the times of each trial. A trial begins
    when its values are asked for."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.began: list[float] = []
        self.inside: list[float] = []  # seconds between the beginning and the end of training, evaluations among them
        self.rows: list[int] = []
        self.eval_rows: list[int] = []
        self.accuracies: list[list[float]] = []
        self.timeline: list[tuple[str, int, float, int, float]] = []
        self._entered = 0.0

    def begin(self) -> None:
        for counts in (self.rows, self.eval_rows):
            counts.append(0)
        self.accuracies.append([])
        self.began.append(time.perf_counter())

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self._entered = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, *_: Any, **__: Any) -> None:
        steps = max(round(state.max_steps / args.num_train_epochs), 1)
        if self.device.type == "cuda" and state.global_step % steps in (0, 1):
            torch.cuda.synchronize(self.device)
        rows = args.per_device_train_batch_size * args.gradient_accumulation_steps
        self.timeline.append(("step", len(self.began) - 1, time.perf_counter(), rows, 0.0))

    def on_evaluate(self, *_: Any, **__: Any) -> None:
        self.timeline.append(("eval", len(self.began) - 1, time.perf_counter(), 0, 0.0))

    def on_train_end(self, *_: Any, **__: Any) -> None:
        self.inside.append(time.perf_counter() - self._entered)
        self.timeline.append(("end", len(self.began) - 1, time.perf_counter(), 0, 0.0))

    def metrics(self, prediction: Any) -> dict[str, float]:
        found = float((prediction.predictions.argmax(-1) == prediction.label_ids).mean())
        self.eval_rows[-1] += len(prediction.label_ids)
        self.rows[-1] -= len(prediction.label_ids)  # the collator counts every row that it sees
        self.accuracies[-1].append(found)
        return {"accuracy": found}

    def measured(self, began: float, ended: float) -> dict[str, Any]:
        """Return what `benchmarks.sides.Side` holds of a search between these times."""
        starts, on_gpu = [*self.began, ended], self.device.type == "cuda"
        trials = [
            {
                "rows": self.rows[i], "eval_rows": self.eval_rows[i], "accuracy": self.accuracies[i][-1],
                "seconds": starts[i + 1] - starts[i], "inside": self.inside[i],
            }
            for i in range(len(self.began))
        ]  # fmt: skip
        return {
            "seconds": ended - began, "trials": trials, "timeline": self.timeline, "engine": "Trainer.hyperparameter_search",
            "device": torch.cuda.get_device_name(self.device) if on_gpu else "cpu", "threads": torch.get_num_threads(),
            "peak_device_bytes": torch.cuda.max_memory_allocated(self.device) if on_gpu else 0,
        }  # fmt: skip


def main() -> None:
    points, out, variant = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]), sys.argv[3]
    assert variant in VARIANTS, variant
    config, faults = parse(Composer().compose(sys.argv[4:]).resolved(), str)
    assert not faults, faults
    splits, path = load_splits(config.dataset), resolve(config.model.path)
    device = device_of(config)
    tokenizer = AutoTokenizer.from_pretrained(path)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    padding: dict[str, Any] = {"padding": "max_length"} if variant == "padded" else {}

    def tokenised(rows: Rows) -> Dataset:
        tokens = tokenizer(list(rows.texts), truncation=True, max_length=config.dataset.max_length, **padding)
        return Dataset.from_dict({**tokens, "labels": list(rows.labels)})

    watch, pad = Watch(device), DataCollatorWithPadding(tokenizer)

    def collate(rows: list[Any]) -> Any:
        watch.rows[-1] += len(rows)
        return pad(rows)

    def space(trial: optuna.Trial) -> dict[str, Scalar]:
        watch.begin()
        return {key.rpartition(".")[2]: _suggest(trial, key, [point[key] for point in points]) for key in points[0]}

    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(study_name="baseline", storage=storage, direction="maximize")
    for point in points:
        study.enqueue_trial(point)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model_init=lambda: wrapped_model(config, path, tokenizer, len(splits.labels), device),
            args=training_arguments(config, folder, device, grouped=variant == "grouped"), data_collator=collate,
            train_dataset=tokenised(splits.train), eval_dataset=tokenised(splits.validation),
            compute_metrics=watch.metrics, callbacks=[watch],
        )  # fmt: skip
        began = time.perf_counter()
        trainer.hyperparameter_search(
            hp_space=space, backend="optuna", n_trials=len(points), direction="maximize", study_name="baseline",
            storage=storage, load_if_exists=True, pruner=optuna.pruners.NopPruner(),
            compute_objective=lambda found: found["eval_accuracy"],
        )  # fmt: skip
        ended = time.perf_counter()
    out.write_text(json.dumps(watch.measured(began, ended)))


def device_of(config: Config) -> torch.device:
    on_gpu = torch.cuda.is_available() and config.trainer.device != "cpu"
    return torch.device("cuda", 0) if on_gpu else torch.device("cpu")


def wrapped_model(config: Config, path: str, tokenizer: Any, labels: int, device: torch.device) -> Any:
    adapter = config.adapter
    assert isinstance(adapter, LoraSettings), adapter.method
    dtype = torch.float32 if config.model.dtype == "auto" else getattr(torch, config.model.dtype)
    options: dict[str, Any] = {}
    if adapter.quantization == "nf4":
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=adapter.double_quantization,
            bnb_4bit_compute_dtype=getattr(torch, adapter.compute_dtype),
        )  # fmt: skip
        options["device_map"] = {"": device}
    base = AutoModelForSequenceClassification.from_pretrained(path, num_labels=labels, dtype=dtype, **options)
    base.config.pad_token_id = tokenizer.pad_token_id
    if adapter.quantization == "nf4":
        base = prepare_model_for_kbit_training(base, use_gradient_checkpointing=config.trainer.gradient_checkpointing)
    targets = adapter.target_modules
    return get_peft_model(base, LoraConfig(
        TaskType.SEQ_CLS, r=adapter.r, lora_alpha=adapter.lora_alpha, lora_dropout=adapter.lora_dropout,
        target_modules=list(targets) if isinstance(targets, tuple) else targets,
    ))  # fmt: skip


def training_arguments(config: Config, folder: str, device: torch.device, *, grouped: bool) -> TrainingArguments:
    trainer, optimizer = config.trainer, config.optimizer
    return TrainingArguments(
        folder, per_device_train_batch_size=trainer.per_device_train_batch_size,
        per_device_eval_batch_size=trainer.per_device_eval_batch_size, num_train_epochs=trainer.num_train_epochs,
        gradient_accumulation_steps=trainer.gradient_accumulation_steps, max_grad_norm=trainer.max_grad_norm,
        gradient_checkpointing=trainer.gradient_checkpointing, bf16=trainer.in_bf16, fp16=trainer.fp16, seed=trainer.seed,
        learning_rate=optimizer.learning_rate, weight_decay=optimizer.weight_decay, warmup_steps=optimizer.warmup_steps,
        lr_scheduler_type=optimizer.lr_scheduler_type, optim=optimizer.name, logging_steps=trainer.logging_steps,
        eval_strategy="epoch", save_strategy="no", report_to="wandb", disable_tqdm=True, use_cpu=device.type == "cpu",
        train_sampling_strategy="group_by_length" if grouped else "random",
    )  # fmt: skip


def _suggest(trial: optuna.Trial, key: str, values: list[Any]) -> Scalar:
    if all(isinstance(value, float) for value in values):
        return trial.suggest_float(key, min(values), max(values), log=True)
    chosen: Scalar = trial.suggest_categorical(key, sorted(set(values)))
    return chosen


if __name__ == "__main__":
    main()
