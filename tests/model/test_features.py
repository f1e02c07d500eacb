from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    AutoModelForSequenceClassification,
    BartConfig,
    BartForSequenceClassification,
    ModernBertConfig,
    ModernBertForSequenceClassification,
    PreTrainedModel,
)

from support.tiny import tiny_bert, tiny_distilbert, tiny_gpt2
from sweep.model.adapter import head_only
from sweep.model.architecture import head_modules
from sweep.model.features import FeatureCache, HeadModel, NotPackable, states

CPU = torch.device("cpu")


def batch(pad: int = 0) -> dict[str, Tensor]:
    tokens = torch.randint(5, 20, (4, 9), generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(9) < torch.tensor([[9], [6], [3], [1]])).long()
    return {"input_ids": tokens * mask + pad * (1 - mask), "attention_mask": mask}


def frozen(model: PreTrainedModel, *inside: str) -> PreTrainedModel:
    head_only(model, (*inside, *head_modules(model)))
    return model.eval()


def loaded(folder: Path) -> PreTrainedModel:
    model: PreTrainedModel = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=3)
    model.config.pad_token_id = 0
    return model


@pytest.mark.parametrize("make", [tiny_bert, tiny_distilbert, tiny_gpt2])
def test_the_head_on_its_features_gives_the_model_s_own_logits(make: object, tmp_path: Path) -> None:
    assert callable(make)
    model = frozen(loaded(make(tmp_path)))
    (found,) = states(model, [batch()])
    torch.testing.assert_close(HeadModel(model).eval()(found), model(**batch()).logits, rtol=0, atol=1e-6)


def pools_for_itself(pooling: Literal["cls", "mean"]) -> PreTrainedModel:
    torch.manual_seed(0)
    shape = ModernBertConfig(
        vocab_size=40, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        classifier_pooling=pooling, pad_token_id=0,
    )  # fmt: skip
    shape._attn_implementation = "eager"
    return frozen(ModernBertForSequenceClassification(shape))


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_a_head_that_pools_for_itself(pooling: str) -> None:
    model = pools_for_itself(pooling)
    (found,) = states(model, [batch()])
    torch.testing.assert_close(HeadModel(model).eval()(found), model(**batch()).logits, rtol=0, atol=1e-6)


def test_logits_so_small_that_rounding_allows_any_pooling() -> None:
    model = pools_for_itself("mean").bfloat16()
    with torch.no_grad():
        model.classifier.weight *= 0.02
        model.classifier.bias.zero_()
        logits = model(**batch()).logits
    (found,) = states(model, [batch()])
    assert logits.abs().max() < 2e-2
    torch.testing.assert_close(HeadModel(model).eval()(found), logits, rtol=0.02, atol=1e-5)


def test_a_pooler_that_is_trained_is_part_of_the_head(tmp_path: Path) -> None:
    model = frozen(loaded(tiny_bert(tmp_path)), "bert.pooler")
    head = HeadModel(model)
    (found,) = states(model, [batch()])
    head(found).sum().backward()
    assert model.bert.pooler.dense.weight.grad is not None
    assert {name for name, weight in head.classifier.named_parameters() if weight.requires_grad} == {
        "bert.pooler.dense.weight", "bert.pooler.dense.bias", "classifier.weight", "classifier.bias",
    }  # fmt: skip


def test_a_head_that_reads_more_than_one_vector_is_refused() -> None:
    """BART's looks for the end-of-text token among the tokens."""
    shape = BartConfig(
        vocab_size=40, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, eos_token_id=30, pad_token_id=0,
    )  # fmt: skip
    model = frozen(BartForSequenceClassification(shape))
    given = batch()
    given["input_ids"][:, 0] = 30
    with pytest.raises(NotPackable, match="more of the base than one vector"):
        list(states(model, [given]))


def test_a_head_of_zeros_proves_no_pooling(tmp_path: Path) -> None:
    model = frozen(loaded(tiny_bert(tmp_path)))
    torch.nn.init.zeros_(model.classifier.weight)
    with pytest.raises(NotPackable, match="the same logits, which tell nothing of its pooling"):
        list(states(model, [batch()]))


@pytest.mark.parametrize("make", [tiny_bert, tiny_distilbert, tiny_gpt2])
def test_a_batch_of_one_text_many_times_is_no_sign_of_another_pooling(make: object, tmp_path: Path) -> None:
    """Batches have rows of like length, so that texts which occur often fill some of them."""
    assert callable(make)
    model = frozen(loaded(make(tmp_path)))
    repeated = {name: values[1:2].repeat(4, 1) for name, values in batch().items()}
    batches = [repeated, batch(), repeated]
    found = torch.cat(list(states(model, batches)))
    expected = torch.cat([model(**one).logits for one in batches])
    torch.testing.assert_close(HeadModel(model).eval()(found), expected, rtol=0, atol=1e-6)


def test_nothing_is_kept_of_features_that_were_not_finished(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path / "features")

    def stopped() -> Tensor:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.get("base", "rows", 2, CPU, stopped)
    assert not list(tmp_path.glob("features/*"))
    assert cache.get("base", "rows", 2, CPU, lambda: torch.ones(2, 3)).shape == (2, 3)


@pytest.mark.parametrize("damage", ["cut short", "a bit flipped", "other rows"])
def test_a_damaged_file_is_computed_again(damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    FeatureCache(tmp_path / "features").get("base", "rows", 2, CPU, lambda: torch.ones(2, 3))
    (file,) = tmp_path.glob("features/*")
    if damage == "cut short":
        file.write_bytes(file.read_bytes()[:-4])
    elif damage == "a bit flipped":
        content = file.read_bytes()
        file.write_bytes(bytes([*content[:-1], content[-1] ^ 1]))
    else:
        save_file({"states": torch.zeros(1, 3)}, file)
    for _ in range(2):  # the second time, from the file that replaced it
        torch.testing.assert_close(
            FeatureCache(tmp_path / "features").get("base", "rows", 2, CPU, lambda: torch.ones(2, 3)), torch.ones(2, 3)
        )
    assert load_file(file)["states"].shape == (2, 3)
    assert capsys.readouterr().err.count(f"{file} is damaged, and is made again") == 1


def test_a_folder_that_takes_no_file_stops_no_trial(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "features").write_text("in the way")
    found = FeatureCache(tmp_path / "features").get("base", "rows", 2, CPU, lambda: torch.ones(2, 3))
    assert found.shape == (2, 3)
    assert "could not be kept" in caplog.text


def test_a_base_that_cannot_be_packed_is_asked_once() -> None:
    cache, answers = FeatureCache(), iter([NotPackable("pools oddly")])

    def refused() -> Tensor:
        raise next(answers)

    for _ in range(2):
        with pytest.raises(NotPackable, match="pools oddly"):
            cache.get("base", "rows", 2, CPU, refused)


def test_memory_holds_the_base_in_use_alone() -> None:
    counted: Iterator[int] = iter(range(9))
    cache = FeatureCache()
    values = [cache.get(base, "rows", 1, CPU, lambda: torch.tensor(next(counted))).item() for base in "aabba"]
    assert values == [0, 0, 1, 1, 2]
