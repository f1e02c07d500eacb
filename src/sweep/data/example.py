"""The line of code with which a reader of a report or a model card makes a batch of texts."""

from __future__ import annotations


def batch(*, paired: bool, prompted: bool, padding: str = "True") -> str:
    """Return code that tokenises texts as the rows of the data set were, cut and padded.

    `paired` says that a row has two texts, `prompted` that label words after a prompt are scored.
    `padding` is the tokenizer's argument, as it is written in code.
    """
    texts = '["your text"], ["its pair"]' if paired else '["your text"]'
    if prompted:
        return f"model.prompt.batch(tokenizer, {texts})"
    return f'tokenizer({texts}, padding={padding}, truncation=True, return_tensors="pt")'
