"""The template and the label words of a prompt, and the checks that need no tokenizer."""

from __future__ import annotations

from collections.abc import Iterator
from string import Formatter

from sweep.config.schema import PromptConfig
from sweep.data.labels import LabelSpace
from sweep.data.raw import listed
from sweep.errors import Fault, closest

TEMPLATE, WORDS = "prompt.template", "prompt.label_words"
TEXT, PAIR = "text", "text_pair"

_YES_AND_NO = '; YAML reads yes, no, on and off as true and false: write such a name in quotes, as "yes"'

Field = tuple[str, str | None, str | None, str | None]  # as string.Formatter gives them


def filled(template: str, text: str, pair: str) -> str:
    return template.format(text=text, text_pair=pair)


def placeholders(prompt: PromptConfig) -> set[str]:
    """Return the names of the template's placeholders. Raises ValueError if parsing fails."""
    return {name for _, name, _, _ in Formatter().parse(prompt.template) if name is not None}


def label_words(prompt: PromptConfig, labels: LabelSpace) -> tuple[str, ...]:
    """Return the words of each label, in the order of the labels."""
    given = prompt.label_words
    return tuple(f" {name}" if given is None else given[name] for name in labels.names)


def template_faults(prompt: PromptConfig, *, paired: bool) -> Iterator[Fault]:
    """Return the faults of the template, for data with one text a row, or with two if `paired`."""
    try:
        found = placeholders(prompt)
        odd = [_shown(field) for field in Formatter().parse(prompt.template) if _odd(field)]
    except ValueError as error:
        yield Fault(TEMPLATE, f"cannot be read: {error}; a brace that is part of the text is doubled")
        return
    for one in odd:
        yield Fault(TEMPLATE, f"has {one}, but there are {{text}} and {{text_pair}} only")
    if TEXT not in found:
        yield Fault(TEMPLATE, "lacks {text}: the place of the row's text")
    if paired and PAIR not in found:
        yield Fault(TEMPLATE, "lacks {text_pair}, but dataset.text_pair_column is set")
    if PAIR in found and not paired:
        yield Fault(TEMPLATE, "has {text_pair}, but dataset.text_pair_column is null")


def _odd(field: Field) -> bool:
    _, name, form, conversion = field
    return name is not None and (name not in (TEXT, PAIR) or bool(form) or bool(conversion))


def _shown(field: Field) -> str:
    _, name, form, conversion = field
    return "{" + f"{name}{f'!{conversion}' if conversion else ''}{f':{form}' if form else ''}" + "}"


def word_faults(prompt: PromptConfig, labels: LabelSpace) -> Iterator[Fault]:
    """Yield the faults of `label_words` for these labels."""
    if prompt.label_words is None:
        return
    for name, words in prompt.label_words.items():
        if name not in labels.names:
            rule = (
                f"names {name}, which is no label{closest(name, labels.names)}; labels are {listed(labels.names, 20)}"
            )
            yield Fault(WORDS, rule + (_YES_AND_NO if name in ("true", "false") else ""))
        elif not words.strip():
            yield Fault(WORDS, f"has no words for {name}")
    if missing := [name for name in labels.names if name not in prompt.label_words]:
        yield Fault(WORDS, f"lacks the words of {listed(missing, 20)}")
