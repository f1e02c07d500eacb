"""Lines of code with which a reader of a report or a model card uses a model."""

from __future__ import annotations


def texts(*, paired: bool) -> str:
    """Return the arguments of a call that takes texts, as code."""
    return '["your text"], ["its pair"]' if paired else '["your text"]'


def batch(*, paired: bool, padding: str = "True") -> str:
    """Return code that tokenises texts as the rows of the data set were, cut and padded.

    `paired` says that a row has two texts. `padding` is the tokenizer's argument, as it is written
    in code.
    """
    return f'tokenizer({texts(paired=paired)}, padding={padding}, truncation=True, return_tensors="pt")'
