"""Trials on a random BERT of two layers and forty rows that can be learnt: the label follows from
the words."""

from __future__ import annotations

import random
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

from sweep.config.schema import Config
from sweep.config.settings import TrainSettings
from sweep.config.steps import total_steps
from sweep.data.labels import LabelSpace
from sweep.data.splits import Rows, Splits
from sweep.data.tokenise import TokenisedData
from sweep.engine.protocol import StudyCallbacks
from sweep.engine.trainer import OneByOne, Trained, trained
from sweep.model.base_model_cache import BaseModelCache
from sweep.provenance import DataState
from sweep.records.trial import EvalPoint, Outcome, Step, TrialPlan, Verdict

WORDS = ("card", "cash", "fees", "limit", "login", "refund")
ROWS, HELD_OUT = 40, 22


def make_model(folder: Path, *, dropout: float = 0.1) -> Path:
    """Save the model and its tokenizer in a folder that is there."""
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]))
    tokenizer = BertTokenizer(vocab=str(folder / "vocab.txt"))
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    size: dict[str, Any] = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
    }
    dropouts: dict[str, Any] = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    shape = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=32, initializer_range=0.2, **size, **dropouts)
    BertForSequenceClassification(shape).save_pretrained(folder)
    return folder


def _rows(count: int, seed: int, *, several: bool) -> Rows:
    draw = random.Random(seed)
    texts = tuple(" ".join(draw.choices(draw.choices(WORDS, k=2), k=draw.randint(1, 12))) for _ in range(count))
    if several:
        return Rows(texts, None, tuple(tuple(int(word in text) for word in WORDS[:4]) for text in texts))
    return Rows(texts, None, tuple(min(WORDS.index(text.split()[0]), 3) for text in texts))


def make_data(cache: Path, *, several: bool = False) -> TokenisedData:
    labels = LabelSpace("multi_label" if several else "single_label", ("card", "cash", "fees", "other"))
    splits = Splits(
        labels=labels,
        train=_rows(ROWS, 1, several=several),
        validation=_rows(HELD_OUT, 2, several=several),
        test=None,
        state=DataState("toy", "", "", {}, labels.names),
    )
    return TokenisedData(splits, cache)


def make_plan(model_dir: Path, *, number: int = 0, **sections: Any) -> TrialPlan:
    trainer = {
        "per_device_train_batch_size": 8, "num_train_epochs": 2, "eval_strategy": "epoch", "logging_steps": 2,
        "save_best": False,
    }  # fmt: skip
    config = Config.model_validate(
        {
            "model": {"path": str(model_dir)},
            **sections,
            "optimizer": {"learning_rate": 5e-3, **sections.get("optimizer", {})},
            "trainer": {**trainer, **sections.get("trainer", {})},
        }
    )
    return TrialPlan(number, {}, config, total_steps(ROWS, config.trainer), command="")


@dataclass
class Watcher:
    """The callbacks of a study: they keep all calls of an engine, and answer each step and
    evaluation with the verdict of `judge`."""

    judge: Callable[[Step | EvalPoint], Verdict] = lambda _: Verdict.CONTINUE
    events: list[Step | EvalPoint] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    def run(
        self, *trials: TrialPlan, base_models: BaseModelCache, data: TokenisedData, best_dir: Path | None = None
    ) -> Outcome:
        """Return the outcome of the last trial."""
        queue = iter(trials)
        OneByOne(base_models, data, lambda _: best_dir).run(
            lambda: next(queue, None), self._hear, self._hear, lambda _, outcome: self.outcomes.append(outcome)
        )
        return self.outcomes[-1]

    def _hear(self, _: TrialPlan, event: Step | EvalPoint) -> Verdict:
        self.events.append(event)
        return self.judge(event)

    @property
    def steps(self) -> list[Step]:
        return [event for event in self.events if isinstance(event, Step)]

    @property
    def evals(self) -> list[EvalPoint]:
        return [event for event in self.events if isinstance(event, EvalPoint)]


class Remembering(BaseModelCache):
    """Knows the modules of all the models that it gave, without holding them."""

    def __init__(self, device: str) -> None:
        super().__init__(device)
        self.modules: list[weakref.ref[nn.Module]] = []

    @contextmanager
    def model(self, settings: TrainSettings, labels: LabelSpace) -> Iterator[nn.Module]:
        with super().model(settings, labels) as model:
            self.modules.extend(weakref.ref(module) for module in model.modules())
            yield model

    @property
    def left(self) -> list[nn.Module]:
        return [module for known in self.modules if (module := known()) is not None]


def retrained(trial: TrialPlan, *, base_models: BaseModelCache, data: TokenisedData) -> AbstractContextManager[Trained]:
    """A trial as the final confirmation trains it: nobody stops it."""
    return trained(trial, base_models=base_models, data=data, study=StudyCallbacks(_go_on, _go_on))


def _go_on(_: Step | EvalPoint) -> Verdict:
    return Verdict.CONTINUE
