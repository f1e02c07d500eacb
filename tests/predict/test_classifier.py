from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import sweep
from sweep.config.settings import TrainSettings
from sweep.data.collate import collator
from sweep.data.splits import Rows
from sweep.data.tokenise import tokenise
from sweep.engine.evaluation import predict
from sweep.engine.loss import mean_loss
from sweep.engine.metrics import decide, probabilities
from sweep.errors import UserError
from sweep.model.artifact import load as load_model
from sweep.model.manifest import read, write
from sweep.predict.classifier import Room
from sweep.records.store import Store

from .conftest import LABELS, SEVERAL

TEXTS = [
    "my card",
    "money money how do i change the pin of my card",
    "bank",
    "the fee is new",
    "where is my refund please",
]


def measured(run_dir: Path, texts: list[str], folder: Path) -> Any:
    """Return the scores as a study measures them: a whole split, under the autocast of its trials."""
    record = Store(run_dir).final()
    assert record is not None
    space, folder = (SEVERAL if record.config.dataset.task == "multi_label" else LABELS), folder / "cache"
    model, tokenizer = load_model(run_dir / "final" / "model")
    model._forward_hooks.clear()
    model._forward_pre_hooks.clear()
    none = 0 if space is LABELS else (0, 0, 0)
    rows = tokenise(Rows(tuple(texts), None, (none,) * len(texts)), tokenizer, labels=space, max_length=8, cache=folder)
    with torch.autocast("cpu", torch.bfloat16, enabled=record.config.trainer.in_bf16):
        return predict(
            model,
            rows,
            collate=collator(tokenizer, space),
            batch_size=3,
            loss=mean_loss(TrainSettings.of(record.config)),
        ).scores


@pytest.mark.parametrize("name", ["winner", "several"])
def test_probabilities_are_those_that_a_study_measures(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    run_dir = request.getfixturevalue(name)
    model = sweep.load(run_dir)
    scores = measured(run_dir, TEXTS, tmp_path)
    found = model.predict(TEXTS)
    chances = probabilities(model.space.task, scores)
    for one, expected in zip(found, chances.tolist(), strict=True):
        assert list(one.probabilities.values()) == pytest.approx(expected, abs=1e-6)
    decided = decide(model.space.task, scores, model.thresholds or 0.5)
    if name == "winner":
        assert [one.label for one in found] == [LABELS.names[label] for label in decided]
        assert [one.probability for one in found] == pytest.approx(chances.max(1).tolist(), abs=1e-6)
    else:
        assert [one.label for one in found] == [
            tuple(label for label, on in zip(SEVERAL.names, row, strict=True) if on) for row in decided
        ]


def test_a_temperature_changes_probabilities_and_no_label(winner: Path) -> None:
    plain = sweep.load(winner)
    calibrated = replace(plain, temperature=4.0)
    for one, other in zip(plain.predict(TEXTS), calibrated.predict(TEXTS), strict=True):
        assert one.label == other.label
        before = torch.tensor(list(one.probabilities.values()))
        after = (before.log() / 4).softmax(0)
        assert list(other.probabilities.values()) == pytest.approx(after.tolist(), abs=1e-5)
        assert one.probability is not None and other.probability is not None and other.probability < one.probability


def test_order_and_batches_change_nothing(winner: Path) -> None:
    model = sweep.load(str(winner))
    one_by_one = [model.predict([text], batch_size=1)[0] for text in TEXTS]
    for first, second in zip(model.predict(TEXTS * 60)[-5:], one_by_one, strict=True):
        assert (first.label, first.cut) == (second.label, second.cut)
        assert first.probability == pytest.approx(second.probability, abs=1e-6)


def test_texts_that_cannot_be_read_whole_are_told(winner: Path) -> None:
    found = sweep.load(winner).predict(["", " \n", None, "half \ud800", "a b c d e f g h", "card"])
    assert [one.problem for one in found] == ["no text"] * 3 + ["half a character (a lone surrogate)", "", ""]
    assert [one.label is None for one in found] == [True] * 4 + [False] * 2
    assert [one.cut for one in found] == [False] * 4 + [True, False]
    assert found[-1].top(2) == sorted(found[-1].probabilities.items(), key=lambda pair: -pair[1])[:2]
    assert sweep.load(winner).predict([]) == []


def test_a_saved_model_is_loaded_without_its_run_directory(several: Path, tmp_path: Path) -> None:
    shutil.copytree(several / "final" / "model", tmp_path / "elsewhere")
    copy, own = sweep.load(tmp_path / "elsewhere"), sweep.load(several)
    assert copy.predict(TEXTS) == own.predict(TEXTS)
    assert (copy.thresholds, copy.labels, copy.paired) == ((0.4, 0.5, 0.99), SEVERAL.names, False)


def test_an_older_folder_takes_autocast_from_the_record(several: Path, tmp_path: Path) -> None:
    shutil.copytree(several, tmp_path / "run")
    folder = tmp_path / "run" / "final" / "model"
    write(replace(read(folder), autocast=None, columns=()), folder)
    older, own = sweep.load(tmp_path / "run"), sweep.load(several)
    assert older.predict(TEXTS) == own.predict(TEXTS)
    without = sweep.load(folder).predict(TEXTS)  # the folder alone does not know of it
    assert [one.probabilities for one in without] != [one.probabilities for one in own.predict(TEXTS)]


def test_pairs(pairs: Path) -> None:
    model = sweep.load(pairs)
    found = model.predict(["my card", "fee"], ["money", " "])
    assert model.paired and [one.problem for one in found] == ["", "no text"]
    assert found[0].probabilities != model.predict(["money"], ["my card"])[0].probabilities
    with pytest.raises(UserError, match="pairs: is missing: the model reads two texts a row"):
        model.predict(["a"])
    with pytest.raises(UserError, match="pairs: has 1 texts, but texts has 2"):
        model.predict(["a", "b"], ["c"])


def test_wrong_arguments(winner: Path) -> None:
    model = sweep.load(winner)
    with pytest.raises(TypeError, match=r"must be a list of texts, as in predict\(\[text\]\)"):
        model.predict("one text")
    with pytest.raises(TypeError, match=r"texts\[1\] is nan, but must be a text"):
        model.predict(iter(["a", float("nan")]))  # type: ignore[list-item]
    for size in (0, -1):
        with pytest.raises(UserError, match=f"batch_size: is {size}, but must be a whole number from 1 on"):
            model.predict(["a"], batch_size=size)
    with pytest.raises(UserError, match="pairs: is given, but the model reads one text a row"):
        model.predict(["a"], ["b"])
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="device: is cuda, but torch sees no GPU"):
            sweep.load(winner, device="cuda")


class Tight(nn.Module):
    """A model with memory for batches of two rows."""

    def __init__(self, model: nn.Module, most: int) -> None:
        super().__init__()
        self.model, self.most = model, most

    def forward(self, **batch: torch.Tensor) -> Any:
        if len(batch["input_ids"]) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.model(**batch)


def test_a_batch_is_divided_where_memory_runs_out(winner: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    freed: list[torch.device] = []
    monkeypatch.setattr("sweep.engine.memory.release", freed.append)  # it walks all objects of the process
    model = sweep.load(winner)
    tight = replace(model, model=Tight(model.model, 2), room=Room())
    assert [one.label for one in tight.predict(TEXTS)] == [one.label for one in model.predict(TEXTS)]
    assert (tight.room.rows, len(freed)) == (2, 1)  # later batches are not tried at four rows again
    with pytest.raises(UserError, match="out of memory for one row of 8 tokens"):
        replace(model, model=Tight(model.model, 0), room=Room()).predict(TEXTS)
