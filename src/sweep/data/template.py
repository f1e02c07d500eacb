"""The text of a prompt, and what can be wrong with it before there is a tokenizer."""

from __future__ import annotations

from collections.abc import Iterator
from string import Formatter

from sweep.config.compose import closest
from sweep.config.schema import PromptConfig
from sweep.data.labels import LabelSpace
from sweep.data.raw import listed
from sweep.errors import Fault

TEMPLATE, WORDS = "prompt.template", "prompt.label_words"


def filled(template: str, text: str, pair: str) -> str:
    return template.format(text=text, text_pair=pair)


def label_words(prompt: PromptConfig, labels: LabelSpace) -> tuple[str, ...]:
    """The words of each label, in the order of the labels."""
    given = prompt.label_words
    return tuple(f" {name}" if given is None else given[name] for name in labels.names)


def template_faults(prompt: PromptConfig, *, paired: bool) -> Iterator[Fault]:
    """What is wrong with the template for data of one text a row, or, if `paired`, of two."""
    try:
        fields = [field for field in Formatter().parse(prompt.template) if field[1] is not None]
    except ValueError as error:
        yield Fault(TEMPLATE, f"cannot be read: {error}; a brace of the text itself is doubled")
        return
    names = {name for _, name, form, conversion in fields if not form and not conversion}
    for _, name, form, conversion in fields:
        if name not in ("text", "text_pair") or form or conversion:
            shown = "{" + f"{name}{f'!{conversion}' if conversion else ''}{f':{form}' if form else ''}" + "}"
            yield Fault(TEMPLATE, f"has {shown}, but there are {{text}} and {{text_pair}} only")
    if "text" not in names:
        yield Fault(TEMPLATE, "lacks {text}: the place of the row's text")
    if paired and "text_pair" not in names:
        yield Fault(TEMPLATE, "lacks {text_pair}, but dataset.text_pair_column is set")
    if "text_pair" in names and not paired:
        yield Fault(TEMPLATE, "has {text_pair}, but dataset.text_pair_column is null")


def word_faults(prompt: PromptConfig, labels: LabelSpace) -> Iterator[Fault]:
    """What is wrong with `label_words` for these labels."""
    if prompt.label_words is None:
        return
    for name, words in prompt.label_words.items():
        if name not in labels.names:
            rule = (
                f"names {name}, which is no label{closest(name, labels.names)}; labels are {listed(labels.names, 20)}"
            )
            yield Fault(WORDS, rule)
        elif not words.strip():
            yield Fault(WORDS, f"has no words for {name}")
    if missing := [name for name in labels.names if name not in prompt.label_words]:
        yield Fault(WORDS, f"lacks the words of {listed(missing, 20)}")
