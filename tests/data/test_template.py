from __future__ import annotations

import pytest

from sweep.config.schema import PromptConfig
from sweep.data.labels import LabelSpace
from sweep.data.template import filled, label_words, template_faults, word_faults

LABELS = LabelSpace("single_label", ("good", "bad"))


@pytest.mark.parametrize(
    ("template", "paired", "parts"),
    [
        ("Text: {text}", False, []),
        ("{text} and {text_pair}", True, []),
        ("{{braces}} {text}", False, []),
        ("Text:", False, ["lacks {text}:"]),
        ("{text}", True, ["lacks {text_pair}"]),
        ("{text} {text_pair}", False, ["dataset.text_pair_column is null"]),
        ("{body} {}", False, ["has {body}", "has {}", "lacks {text}:"]),
        ("{text:>9} {text!r} {text[0]}", False, ["has {text:>9}", "has {text!r}", "has {text[0]}"]),
        ("{text", False, ["cannot be read"]),
    ],
)
def test_templates(template: str, paired: bool, parts: list[str]) -> None:
    found = [str(fault) for fault in template_faults(PromptConfig(template=template), paired=paired)]
    assert len(found) == len(parts)
    assert all(part in fault for part, fault in zip(parts, found, strict=True))


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (None, []),
        ({"good": " yes", "bad": " no"}, []),
        ({"good": " yes"}, ["lacks the words of bad"]),
        ({"good": " ", "bad": ""}, ["has no words for good", "has no words for bad"]),
        (
            {"true": " yes", "bad": " no"},
            ["are good, bad; YAML reads yes, no, on and off as true and false: write such a name in quotes", "of good"],
        ),
        ({"godo": " yes", "bad": " no"}, ["names godo, which is no label (did you mean good?)", "of good"]),
    ],
)
def test_words(words: dict[str, str] | None, parts: list[str]) -> None:
    found = [str(fault) for fault in word_faults(PromptConfig(template="{text}", label_words=words), LABELS)]
    assert len(found) == len(parts)
    assert all(part in fault for part, fault in zip(parts, found, strict=True))


def test_words_are_in_the_order_of_the_labels() -> None:
    prompt = PromptConfig(template="{text}", label_words={"bad": " no", "good": " yes"})
    assert label_words(prompt, LABELS) == (" yes", " no")
    assert label_words(PromptConfig(template="{text}"), LABELS) == (" good", " bad")


def test_a_text_may_hold_braces() -> None:
    assert filled("{{x}} {text}: {text_pair}", "{a}", "{b}") == "{x} {a}: {b}"
