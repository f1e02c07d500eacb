"""Lines of code with which a reader of a report or a model card uses a model."""

from __future__ import annotations


def texts(*, paired: bool) -> str:
    """Return the arguments of a call that takes texts, as code."""
    return '["your text"], ["its pair"]' if paired else '["your text"]'


def batch(*, paired: bool, prompted: bool, padding: str = "True") -> str:
    """Return code that tokenises texts as the rows of the data set were, cut and padded.

    `paired` says that a row has two texts, `prompted` that label words after a prompt are scored.
    `padding` is the tokenizer's argument, as it is written in code.
    """
    given = texts(paired=paired)
    if prompted:
        return f"model.prompt.batch(tokenizer, {given})"
    return f'tokenizer({given}, padding={padding}, truncation=True, return_tensors="pt")'
