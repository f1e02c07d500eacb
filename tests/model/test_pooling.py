"""The vector that a head is given, whatever the architecture, the adapter and the side of the
padding."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from support.passes import TEXTS, batch, first_loss, logits, train
from support.tiny import ADAPTERS
from sweep.config.schema import Config, PoolingKind
from sweep.config.settings import TrainSettings
from sweep.data.labels import LabelSpace
from sweep.errors import UserError
from sweep.model.account import count, trained_head, unwrapped
from sweep.model.architecture import body
from sweep.model.artifact import load, save
from sweep.model.base_model_cache import BaseModelCache
from sweep.model.features import HeadModel, states
from sweep.model.pooling import BY_KIND, PaddedStates, Pooling, pooling_of, remove
from sweep.model.preflight import preflight
from sweep.model.replica import replica

Configure = Callable[..., Config]
KINDS: list[tuple[str, PoolingKind]] = [
    ("bert", "mean"), ("bert", "cls"), ("bert", "last"), ("bert", "pooler"),
    ("no_pooler", "mean"), ("no_pooler", "pooler"),
    ("distilbert", "mean"), ("distilbert", "last"), ("roberta", "mean"), ("roberta", "cls"),
    ("gpt2", "mean"), ("gpt2", "last"), ("llama", "mean"),
]  # fmt: skip


def pooled(hidden: Tensor, mask: Tensor | None, kind: PoolingKind) -> Tensor:
    return BY_KIND[kind].padded(PaddedStates(hidden, mask))


def hidden_states(dtype: torch.dtype = torch.float32) -> tuple[Tensor, list[Tensor]]:
    """(3, 5, 4), and the rows without their padding: 5, 3 and 1 tokens."""
    found = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0)).to(dtype)
    return found, [row[:length] for row, length in zip(found, (5, 3, 1), strict=True)]


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_is_left_out(side: str) -> None:
    _, rows = hidden_states()
    padded, mask = torch.full((3, 5, 4), torch.nan), torch.zeros(3, 5, dtype=torch.long)
    for row, one, flags in zip(rows, padded, mask, strict=True):
        place = slice(0, len(row)) if side == "right" else slice(5 - len(row), 5)
        one[place], flags[place] = row, 1
    torch.testing.assert_close(pooled(padded, mask, "mean"), torch.stack([row.mean(0) for row in rows]))
    assert torch.equal(pooled(padded, mask, "cls"), torch.stack([row[0] for row in rows]))
    assert torch.equal(pooled(padded, mask, "last"), torch.stack([row[-1] for row in rows]))


def test_without_a_mask_every_token_is_real() -> None:
    hidden, _ = hidden_states()
    assert torch.equal(pooled(hidden, None, "last"), hidden[:, -1])
    torch.testing.assert_close(pooled(hidden, None, "mean"), hidden.mean(1))


def test_the_type_is_kept_and_no_digit_lost_before_it() -> None:
    exact, _ = hidden_states(torch.float64)
    assert torch.equal(pooled(exact, None, "mean"), exact.sum(1) / 5)
    half = torch.ones(1, 1000, 1, dtype=torch.bfloat16)
    half[0, 0] = 512  # after which bfloat16 would not see another 1
    assert pooled(half, None, "mean").item() == torch.tensor(1.511).bfloat16().item()


def test_a_pooler_is_a_module_of_a_model() -> None:
    with pytest.raises(AttributeError, match="pooler"):
        pooled(hidden_states()[0], None, "pooler")


@pytest.mark.parametrize(("model", "kind"), KINDS)
@pytest.mark.parametrize("side", ["left", "right"])
def test_the_head_reads_the_pooled_vector(
    model: str, kind: PoolingKind, side: str, configure: Configure, labels: LabelSpace
) -> None:
    base_models, config = BaseModelCache("cpu"), configure(model, "lora", model={"pooling": kind})
    tokenizer = base_models.tokenizer(config.model)
    tokenizer.padding_side = side
    given = batch(tokenizer)
    with base_models.model(TrainSettings.of(config), labels) as adapted:
        found, inner = logits(adapted, tokenizer), unwrapped(adapted)
        assert remove(inner) == Pooling(kind)
        with torch.no_grad():
            output = inner.get_submodule(body(inner))(given["input_ids"], attention_mask=given["attention_mask"])
        if model == "no_pooler" and kind == "pooler":
            vector = output.last_hidden_state[:, 0]  # its pooler is part of the head
        elif kind == "pooler":
            vector = output.pooler_output
        else:
            vector = pooled(output.last_hidden_state, given["attention_mask"], kind)
        if not (kind == "pooler" and side == "left"):  # BERT's takes position 0, padding or not
            torch.testing.assert_close(HeadModel(inner).eval()(vector), found, rtol=0, atol=1e-5)


def test_a_row_scores_the_same_on_either_side(configure: Configure, labels: LabelSpace) -> None:
    """Llama counts positions relatively."""
    config, found = configure("llama", "lora", model={"pooling": "mean"}), []
    for side in ("left", "right"):
        base_models = BaseModelCache("cpu")
        base_models.tokenizer(config.model).padding_side = side
        with base_models.model(TrainSettings.of(config), labels) as model:
            found.append(logits(model, base_models.tokenizer(config.model)))
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("model", ["bert", "no_pooler", "distilbert", "roberta", "gpt2"])
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_every_adapter_trains_with_it_and_loads_again(
    model: str, adapter: str, configure: Configure, labels: LabelSpace, tmp_path: Path
) -> None:
    base_models, config = BaseModelCache("cpu"), configure(model, adapter, model={"pooling": "mean"})
    tokenizer = base_models.tokenizer(config.model)
    with base_models.model(TrainSettings.of(config), labels) as trained:
        assert preflight(TrainSettings.of(config), labels) == count(trained)
        assert not [name for name, _ in trained.named_parameters() if ".pooler." in name]
        train(trained, tokenizer)
        save(trained, tokenizer, tmp_path, config=config, labels=labels)
        scores = logits(trained, tokenizer)
    assert json.loads((tmp_path / "sweep_model.json").read_text())["base"]["pooling"] == "mean"
    again, same_tokenizer = load(tmp_path)
    assert torch.equal(logits(again, same_tokenizer), scores)


def test_pooling_is_what_tells_two_models_apart(configure: Configure, labels: LabelSpace) -> None:
    base_models, found = BaseModelCache("cpu"), []
    for kind in (None, "mean", None):
        config = configure("bert", "head", model={"pooling": kind})
        with base_models.model(TrainSettings.of(config), labels) as model:
            found.append((base_models.fingerprint(), logits(model, base_models.tokenizer(config.model))))
    assert found[0][0] == found[2][0] != found[1][0]
    assert torch.equal(found[0][1], found[2][1]) and not torch.allclose(found[0][1], found[1][1], atol=1e-4)


@pytest.mark.parametrize(
    ("model", "adapter", "kind"),
    [("bert", "lora", "mean"), ("gpt2", "full", "mean"), ("roberta", "head", "cls"), ("gpt2", "head", "last"),
     ("no_pooler", "lora", "pooler")],
)  # fmt: skip
def test_the_card_says_how_to_load(
    model: str, adapter: str, kind: str, configure: Configure, labels: LabelSpace, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    base_models, config = BaseModelCache("cpu"), configure(model, adapter, model={"pooling": kind})
    tokenizer = base_models.tokenizer(config.model)
    with base_models.model(TrainSettings.of(config), labels) as trained:
        train(trained, tokenizer)
        save(trained, tokenizer, tmp_path, config=config, labels=labels)
        scores = logits(trained, tokenizer)
    text = (tmp_path / "README.md").read_text()
    assert "Its head is given" in text
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    exec(text.split("```python\n")[2].split("```")[0], found)
    assert torch.equal(logits(found["model"], found["tokenizer"]), scores)


@pytest.mark.parametrize(("model", "kind"), KINDS)
def test_features_of_a_frozen_base(model: str, kind: str, configure: Configure, labels: LabelSpace) -> None:
    base_models, config = BaseModelCache("cpu"), configure(model, "head", model={"pooling": kind})
    given = {name: value for name, value in batch(base_models.tokenizer(config.model)).items() if name != "labels"}
    with base_models.model(TrainSettings.of(config), labels) as adapted, torch.no_grad():
        inner = unwrapped(adapted)
        (found,) = states(inner, [given])
        torch.testing.assert_close(HeadModel(inner).eval()(found), inner(**given).logits, rtol=0, atol=1e-5)


def test_a_copy_is_hooked_once_and_for_itself(configure: Configure, labels: LabelSpace) -> None:
    base_models, config = BaseModelCache("cpu"), configure("bert", "head", model={"pooling": "mean"})
    with base_models.model(TrainSettings.of(config), labels) as model:
        inner = unwrapped(model)
        copied = replica(inner, trained_head(inner))
        assert remove(copied) == pooling_of(inner) == Pooling("mean")
        assert pooling_of(copied) is remove(copied) is None
        given = batch(base_models.tokenizer(config.model))
        mask = given["attention_mask"]
        own = copied.base_model(given["input_ids"], attention_mask=mask).last_hidden_state
        handed = inner.base_model(given["input_ids"], mask)  # the mask by its place
        assert own.shape == handed.last_hidden_state.shape == (len(TEXTS), mask.shape[1], own.shape[-1])
        assert torch.equal(handed.pooler_output, pooled(own, mask, "mean"))


def test_random_and_shrunk_models(configure: Configure, labels: LabelSpace, tmp_path: Path) -> None:
    shrink = {"layers": 1, "width": 16, "heads": 2, "vocabulary": 300}
    sections = {"path": "", "init": "random", "config": "minilm", "shrink": shrink, "pooling": "mean"}
    base_models, config = BaseModelCache("cpu"), configure("bert", "lora", model=sections)
    tokenizer = base_models.tokenizer(config.model)
    with base_models.model(TrainSettings.of(config), labels) as model:
        assert preflight(TrainSettings.of(config), labels) == count(model)
        save(model, tokenizer, tmp_path, config=config, labels=labels)
        scores = logits(model, tokenizer)
    assert torch.equal(logits(*load(tmp_path)), scores)


def test_gradients_reach_every_token(configure: Configure, labels: LabelSpace) -> None:
    base_models, config = BaseModelCache("cpu"), configure("distilbert", "full", model={"pooling": "mean"})
    with base_models.model(TrainSettings.of(config), labels) as model:
        first_loss(model, base_models.tokenizer(config.model)).backward()
        gradient = model.get_submodule("distilbert.embeddings.word_embeddings").weight.grad
        words = batch(base_models.tokenizer(config.model))
        real = words["input_ids"][words["attention_mask"].bool()].unique()
        assert gradient[real].abs().sum(1).gt(0).all()


@pytest.mark.parametrize(
    ("model", "kind", "message"),
    [
        ("distilbert", "pooler", "is pooler, but distilbert has none here; use mean, cls or null"),
        ("roberta", "pooler", "is pooler, but roberta has none"),
        ("gpt2", "pooler", "is pooler, but gpt2 has none here; use mean, last or null"),
        ("gpt2", "cls", "is cls, but gpt2 reads from left to right"),
        ("llama", "cls", "use last or mean"),
    ],
)
def test_refused_before_a_weight_is_read(
    model: str, kind: str, message: str, configure: Configure, labels: LabelSpace
) -> None:
    with pytest.raises(UserError, match=f"model.pooling: .*{message}"):
        preflight(TrainSettings.of(configure(model, "lora", model={"pooling": kind})), labels)
