"""Small finished studies of every kind, whose winners are used."""

from __future__ import annotations

import csv
import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from report.conftest import build, final, six_trials
from sweep.__main__ import main
from sweep.config.schema import Config
from sweep.config.settings import TrainSettings
from sweep.data.labels import LabelSpace
from sweep.model.artifact import save
from sweep.model.base_model_cache import BaseModelCache

from .tiny import WORDS, tiny_bert, tiny_gpt2, tiny_llama

LABELS = ("card", "money", "bank")

_MODELS = {"bert": tiny_bert, "gpt2": tiny_gpt2, "llama": tiny_llama}
_BF16 = ("trainer.bf16=true",)
_SEVERAL = (
    "dataset.task=multi_label", "dataset.label_column=labels", "dataset.label_separator='|'",
    "trainer.decision_threshold=tuned", "study.metric=eval/f1_macro",
)  # fmt: skip
_PAIRS = ("dataset.text_pair_column=second",)
_WORDS = "prompt.label_words={card: ' card', money: ' money', bank: ' bank account'}"
# The model and the overrides of each kind.
KINDS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "lora": ("bert", ()),
    "bf16": ("bert", (*_BF16, "engine=trainer")),
    "full in bf16": ("bert", (*_BF16, "adapter=full")),
    "head in bf16": ("bert", (*_BF16, "adapter=head")),
    "mean pooling in bf16": ("bert", (*_BF16, "model.pooling=mean")),
    "qlora": ("gpt2", ("adapter=qlora",)),
    "multi-label": ("bert", _SEVERAL),
    "pairs": ("bert", _PAIRS),
    "prompt": ("llama", ("prompt=label", _WORDS)),
    "prompt of pairs in bf16": (
        "llama", ("prompt=label", _WORDS, "prompt.template='{text} {text_pair} is'", *_PAIRS, *_BF16),
    ),
    "refit": ("bert", ("study.refit=true",)),
    "calibrated and refitted": ("bert", ("trainer.calibration=temperature", "study.refit=true")),
    "calibrated prompt": ("llama", ("prompt=label", _WORDS, "trainer.calibration=temperature")),
    "calibrated multi-label": ("bert", (*_SEVERAL, "trainer.calibration=temperature", "trainer.class_weights=balanced")),
    "compared": ("bert", ("study.compare_by=adapter", "study.n_trials=2")),
}  # fmt: skip


def finished(folder: Path, kind: str) -> Path:
    """Return the run directory of a study of this kind, which is run to its end in this process."""
    model, overrides = KINDS[kind]
    _write_data(folder / "data")
    space = folder / "space.yaml"
    compared = kind == "compared"
    searched = "adapter: {choices: [lora, head]}\n" if compared else ""
    space.write_text(f"{searched}optimizer.learning_rate: {{low: 1.0e-2, high: 3.0e-2, log: true}}\n")
    arguments = [
        "model=custom", f"model.path={_MODELS[model](folder / 'model')}", "dataset=custom",
        f"dataset.path={folder / 'data'}", "dataset.max_length=12", "study.study_name=winner", f"study.space={space}",
        "study.n_trials=1", "study.pruner=none", f"run_dir={folder / 'run'}", "tracker=none", "trainer.num_train_epochs=2",
        "trainer.eval_strategy=epoch", "trainer.per_device_train_batch_size=8", "trainer.per_device_eval_batch_size=7",
    ]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["sweep", *arguments, *([] if compared else ["adapter=lora"]), *overrides])
        patch.setenv("SWEEP_CACHE", str(folder / "cache"))
        main()
    return folder / "run"


def saved(folder: Path, config: Config, labels: LabelSpace, thresholds: tuple[float, ...] | None = None) -> Path:
    """Return a run directory made by hand, whose winner is a model with first weights."""
    trials = six_trials()
    ending = replace(final(trials[1]), config=config, label_names=labels.names, thresholds=thresholds)
    store = build(folder, trials, settings=config, ending=ending)
    base_models = BaseModelCache("cpu")
    with base_models.model(TrainSettings.of(config), labels) as model:
        tokenizer = base_models.tokenizer(config.model)
        save(model, tokenizer, store.final_dir / "model", config=config, labels=labels, thresholds=thresholds)
    return store.root


def _write_data(folder: Path) -> None:
    folder.mkdir(parents=True)
    draw = random.Random(3)
    for split, rows in (("train", 60), ("test", 24)):
        with (folder / f"{split}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "second", "label", "labels"])
            for _ in range(rows):
                label = draw.choice(LABELS)
                words = draw.choices(WORDS.split(), k=draw.randint(1, 16))
                words.insert(draw.randint(0, len(words)), label)
                several = [name for name in LABELS if name in words]
                writer.writerow([" ".join(words), " ".join(draw.choices(WORDS.split(), k=4)), label, "|".join(several)])
