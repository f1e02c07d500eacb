"""Example code for reports and model cards."""

from __future__ import annotations

from sweep.config.schema import Config


def batch(config: Config, *, padding: str = "True") -> str:
    """Return code that turns texts into a batch, cut and padded as the rows of the data were.

    `padding` is the argument as it is written in code.
    """
    texts = '["your text"]' if config.dataset.text_pair_column is None else '["your text"], ["its pair"]'
    if config.prompt is not None:
        return f"model.prompt.batch(tokenizer, {texts})"
    return f'tokenizer({texts}, padding={padding}, truncation=True, return_tensors="pt")'
