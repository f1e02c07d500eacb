"""The other sides of `benchmarks.time_to_winner`: a search over the Trainer, and its winner
retrained.

    python -m benchmarks.trainer_winner TRIALS.json OUT.json SIDE OVERRIDES…

trains the points of TRIALS.json, a list of values by config key, over the experiment that
OVERRIDES… make, by `Trainer.hyperparameter_search`. SIDE is `optuna` (no pruner), `median`
(Optuna's median pruner with its defaults) or `asha` (Ray Tune with its ASHA scheduler, one trial a
core, or one a GPU). Evaluations are those of the project (`trainer.eval_strategy`), after an
eighth, a quarter and half of the first epoch, then after each. The point that the search returns
is trained again from scratch; a score is that of the best evaluation.

With `adapter=head` the base has no gradients, the optimizer has the classifier's weights alone, and
the base runs at each step, in evaluation mode: without dropout, as the project's features are
computed. The classifier's own dropout is on, on both sides.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any

import optuna
import torch
from datasets import Dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
)

from benchmarks.hyperparameter_search import device_of, training_arguments, wrapped_model
from sweep.config.compose import Composer
from sweep.config.parse import parse
from sweep.config.schema import Config, Scalar
from sweep.data.splits import Rows, Splits, load_splits
from sweep.model.paths import resolve

SIDES = ("optuna", "median", "asha")
EARLY = (1 / 8, 1 / 4, 1 / 2)  # of the first epoch
_METRIC = "eval_accuracy"


class EarlyEvaluations(TrainerCallback):  # type: ignore[misc]
    """Evaluates within the first epoch, as `trainer.eval_strategy=early` does."""

    def on_step_end(self, args: Any, state: Any, control: Any, **__: Any) -> None:
        steps = max(round(state.max_steps / args.num_train_epochs), 1)
        if state.global_step < steps and state.global_step in {ceil(share * steps) for share in EARLY}:
            control.should_evaluate = True


class BestScore(TrainerCallback):  # type: ignore[misc]
    """Keeps the best score of one training."""

    def __init__(self) -> None:
        self.best = 0.0

    def on_evaluate(self, *_: Any, **given: Any) -> None:
        self.best = max(self.best, given["metrics"][_METRIC])


class RowsTrained(TrainerCallback):  # type: ignore[misc]
    """Counts the rows of all trials of this process."""

    def __init__(self) -> None:
        self.rows = 0

    def on_step_end(self, args: Any, *_: Any, **__: Any) -> None:
        self.rows += args.per_device_train_batch_size * args.gradient_accumulation_steps


@dataclass(frozen=True, slots=True)
class Task:
    """The experiment, its tokenised rows, and where its files go."""

    config: Config
    splits: Splits
    folder: str
    device: torch.device = field(init=False)
    tokenizer: Any = field(init=False)

    def __post_init__(self) -> None:
        tokenizer = AutoTokenizer.from_pretrained(resolve(self.config.model.path))
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
        object.__setattr__(self, "tokenizer", tokenizer)
        object.__setattr__(self, "device", device_of(self.config))

    def trainer(self, point: Mapping[str, Scalar], *callbacks: TrainerCallback) -> Trainer:
        """Return a Trainer at a point, whose `model_init` loads and wraps the base."""
        arguments = training_arguments(self.config, self.folder, self.device, grouped=True)
        arguments.report_to, arguments.logging_strategy = [], "no"
        arguments.warmup_steps = 0.0  # a search casts each value to the type that it finds
        for key, value in point.items():
            setattr(arguments, key.rpartition(".")[2], value)
        return Trainer(
            model_init=self._model, args=arguments,
            data_collator=DataCollatorWithPadding(self.tokenizer), train_dataset=self._rows(self.splits.train),
            eval_dataset=self._rows(self.splits.validation), compute_metrics=_accuracy,
            callbacks=[EarlyEvaluations(), *callbacks],
        )  # fmt: skip

    def _model(self) -> Any:
        path, labels = resolve(self.config.model.path), len(self.splits.labels)
        if self.config.adapter.method == "head":
            return frozen_model(path, labels)
        return wrapped_model(self.config, path, self.tokenizer, labels, self.device)

    def _rows(self, rows: Rows) -> Dataset:
        tokens = self.tokenizer(list(rows.texts), truncation=True, max_length=self.config.dataset.max_length)
        return Dataset.from_dict({**tokens, "labels": list(rows.labels)})


def frozen_model(path: str, labels: int) -> Any:
    """Return a model of which only the new head trains. Its base stays in evaluation mode."""
    model = AutoModelForSequenceClassification.from_pretrained(path, num_labels=labels, dtype=torch.float32)
    base = model.base_model.requires_grad_(False).eval()
    base.train = lambda *_: base
    return model


def _accuracy(prediction: Any) -> dict[str, float]:
    return {"accuracy": float((prediction.predictions.argmax(-1) == prediction.label_ids).mean())}


def _objective(metrics: Mapping[str, float]) -> float:
    return metrics[_METRIC]


def by_optuna(task: Task, points: Sequence[Mapping[str, Scalar]], pruner: Any) -> tuple[dict[str, Any], float]:
    """Return the values that the search chose, and the rows that it trained."""
    storage, rows = optuna.storages.InMemoryStorage(), RowsTrained()
    study = optuna.create_study(study_name="side", storage=storage, direction="maximize")
    for point in points:
        study.enqueue_trial({key.rpartition(".")[2]: value for key, value in point.items()})

    def space(trial: optuna.Trial) -> dict[str, Scalar]:
        return {key.rpartition(".")[2]: _suggest(trial, key, [point[key] for point in points]) for key in points[0]}

    found = task.trainer({}, rows).hyperparameter_search(
        hp_space=space, backend="optuna", n_trials=len(points), direction="maximize", study_name="side",
        storage=storage, load_if_exists=True, pruner=pruner, compute_objective=_objective,
    )  # fmt: skip
    return dict(found.hyperparameters), rows.rows


def by_asha(task: Task, points: Sequence[Mapping[str, Scalar]]) -> tuple[dict[str, Any], float]:
    """Return the values that the search chose, and the rows that it trained."""
    import ray
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.basic_variant import BasicVariantGenerator

    named = [{key.rpartition(".")[2]: value for key, value in point.items()} for point in points]
    space = {key: tune.choice(list({point[key] for point in named})) for key in named[0]}
    longest = max(int(point["num_train_epochs"]) for point in named)
    on_gpu = task.device.type == "cuda"
    ray.init(_node_ip_address="127.0.0.2", include_dashboard=False, log_to_driver=False)
    try:
        found = task.trainer({}).hyperparameter_search(
            hp_space=lambda _: space, backend="ray", n_trials=len(points), direction="maximize",
            compute_objective=_objective, search_alg=BasicVariantGenerator(points_to_evaluate=named),
            scheduler=ASHAScheduler(metric="objective", mode="max", max_t=longest + len(EARLY), grace_period=1),
            resources_per_trial={"cpu": 1, **({"gpu": 1} if on_gpu else {})}, storage_path=task.folder, verbose=0,
        )  # fmt: skip
        epochs = [trial.last_result.get("epoch", 0.0) for trial in found.run_summary.trials]
    finally:
        ray.shutdown()
    return {key: found.hyperparameters[key] for key in named[0]}, sum(epochs) * len(task.splits.train)


def _suggest(trial: optuna.Trial, key: str, values: list[Any]) -> Scalar:
    name = key.rpartition(".")[2]
    if all(isinstance(value, float) for value in values):
        return trial.suggest_float(name, min(values), max(values))
    chosen: Scalar = trial.suggest_categorical(name, sorted(set(values)))
    return chosen


def main() -> None:
    points, out, side = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]), sys.argv[3]
    assert side in SIDES, side
    config, faults = parse(Composer().compose(sys.argv[4:]).resolved(), str)
    assert not faults, faults
    with tempfile.TemporaryDirectory() as folder:
        task = Task(config, load_splits(config.dataset), folder)
        if side == "asha":
            chosen, rows = by_asha(task, points)
        else:
            pruner = optuna.pruners.MedianPruner() if side == "median" else optuna.pruners.NopPruner()
            chosen, rows = by_optuna(task, points, pruner)
        best = BestScore()
        task.trainer(chosen, best).train()
    out.write_text(json.dumps({"chosen": chosen, "rows": rows, "score": best.best, "device": str(task.device)}))


if __name__ == "__main__":
    main()
