"""Prompts in the tokens of tokenizers of several kinds."""

from __future__ import annotations

from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from sweep.config.schema import PromptConfig
from sweep.data.labels import LabelSpace
from sweep.data.prompt import Prompt, bind
from sweep.data.splits import Rows
from sweep.data.tokenise import tokenise
from sweep.errors import UserError

LABELS = LabelSpace("single_label", ("good", "bad"))
TEMPLATE = "Review: {text}\nVerdict:"
PAIRED = "First: {text}\nSecond: {text_pair}\nVerdict:"
CORPUS = ["Review: a good film\nVerdict: good", "Second: not bad\nVerdict: bad"] * 4


def byte_level(*, around: bool = False) -> PreTrainedTokenizerFast:
    """Return a tokenizer like GPT-2's; `around` puts a token before and one behind each text."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, initial_alphabet=alphabet, special_tokens=["<s>", "</s>"], show_progress=False
    )
    made.train_from_iterator(CORPUS, trainer)
    if around:
        made.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
        )
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>", pad_token="</s>")


def metaspace() -> PreTrainedTokenizerFast:
    """Return a tokenizer like Llama's: it puts a space before each text, single words included."""
    made = Tokenizer(models.BPE(unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    trainer = trainers.BpeTrainer(vocab_size=120, special_tokens=["<unk>", "</s>"], show_progress=False)
    made.train_from_iterator(CORPUS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>", eos_token="</s>", pad_token="</s>")


TOKENIZERS = {"byte level": byte_level(), "start and end": byte_level(around=True), "metaspace": metaspace()}


def bound(tokenizer: Any, max_length: int = 64, labels: LabelSpace = LABELS, **config: Any) -> Prompt:
    return bind(PromptConfig(**{"template": TEMPLATE, **config}), labels, tokenizer, max_length=max_length)


def refused(tokenizer: Any, max_length: int = 64, labels: LabelSpace = LABELS, **config: Any) -> list[str]:
    with pytest.raises(UserError) as caught:
        bound(tokenizer, max_length, labels, **config)
    return [str(fault) for fault in caught.value.faults]


@pytest.mark.parametrize("tokenizer", TOKENIZERS.values(), ids=TOKENIZERS)
def test_prompt_and_words_are_the_tokens_of_the_whole(tokenizer: Any) -> None:
    prompt = bound(tokenizer)
    for text in ("a good film", "", "bad"):
        for words, name in zip(prompt.words, LABELS.names, strict=True):
            whole = tokenizer(f"Review: {text}\nVerdict: {name}", add_special_tokens=False)["input_ids"]
            assert prompt.encode(tokenizer, [text]) == [[*prompt.start, *whole[: -len(words)]]]
            assert tuple(whole[-len(words) :]) == words


def test_only_what_stands_before_a_text_is_kept() -> None:
    assert bound(TOKENIZERS["start and end"]).start == (0,)
    assert bound(TOKENIZERS["byte level"]).start == ()


@pytest.mark.parametrize("side", ["right", "left"])
def test_the_text_is_cut_and_not_the_template(side: str) -> None:
    tokenizer = byte_level(around=True)
    tokenizer.truncation_side = side
    prompt = bound(tokenizer, 30)
    (ids,) = prompt.encode(tokenizer, ["".join(chr(97 + i % 26) for i in range(500))])
    assert prompt.limit - 1 <= len(ids) <= prompt.limit == 30 - max(map(len, prompt.words))
    text = str(tokenizer.decode(ids))
    kept = text.removeprefix("<s>Review: ").removesuffix("\nVerdict:")
    assert text == f"<s>Review: {kept}\nVerdict:" and len(kept) > 3
    assert kept[0 if side == "right" else -1] == ("a" if side == "right" else chr(97 + 499 % 26))


def test_the_longer_text_of_a_pair_is_cut_first() -> None:
    tokenizer = byte_level()
    (ids,) = bound(tokenizer, 60, template=PAIRED).encode(tokenizer, ["xyz"], ["q" * 200])
    text = str(tokenizer.decode(ids))
    assert text.startswith("First: xyz\nSecond: qqqq") and text.endswith("q\nVerdict:")


def test_braces_of_a_text_stay() -> None:
    tokenizer = byte_level()
    assert tokenizer.decode(bound(tokenizer).encode(tokenizer, ["{text} {x}"])[0]) == "Review: {text} {x}\nVerdict:"


@pytest.mark.parametrize(
    ("config", "part"),
    [
        ({"label_words": {"good": " yes", "bad": " yes"}}, "for good and for bad are the same tokens"),
        ({"label_words": {"good": " a", "bad": " a b"}}, "for bad begin with all of those for good"),
        ({"label_words": {"good": " a b", "bad": " a"}}, "for good begin with all of those for bad"),
        ({"template": "{text} Verdict: ", "label_words": {"good": "good", "bad": "?"}}, "begin the words with a space"),
        ({"max_length": 4}, "but a row may have 4"),
        ({"template": "{text}"}, "must have a token"),
    ],
)
def test_label_words_that_a_tokenizer_makes_impossible(config: dict[str, Any], part: str) -> None:
    assert any(part in fault for fault in refused(TOKENIZERS["byte level"], **config))


def test_words_may_begin_alike_where_their_mean_decides() -> None:
    prompt = bound(TOKENIZERS["byte level"], scoring="mean", label_words={"good": " a", "bad": " a b"})
    assert prompt.mean and prompt.words[1][: len(prompt.words[0])] == prompt.words[0]


def test_every_fault_at_once() -> None:
    found = refused(TOKENIZERS["byte level"], 4, label_words={"good": " x", "bad": " x"})
    assert len(found) == 2


def test_rows_carry_prompts_and_another_template_is_another_file(tmp_path: Any) -> None:
    tokenizer, rows = byte_level(), Rows(("a film", "bad"), None, (0, 1))
    made = {}
    for template in (TEMPLATE, "Film: {text} is"):
        prompt = bound(tokenizer, template=template)
        made[template] = tokenise(rows, tokenizer, labels=LABELS, max_length=64, cache=tmp_path, prompt=prompt)
        assert [list(row["input_ids"]) for row in made[template]] == prompt.encode(tokenizer, rows.texts)
    plain = tokenise(rows, tokenizer, labels=LABELS, max_length=64, cache=tmp_path)
    assert len(list(tmp_path.glob("*.arrow"))) == 3 and len(plain) == 2
    assert set(made[TEMPLATE].column_names) == {"input_ids", "attention_mask", "labels", "length"}
