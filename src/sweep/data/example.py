"""What a reader of a report or a model card writes to ask a model."""

from __future__ import annotations

from sweep.config.schema import Config


def batch(config: Config, *, padding: str = "True") -> str:
    """Code that makes of texts what the model takes, cut and padded as rows of data were; `padding` is as it is written
    in code."""
    texts = '["your text"]' if config.dataset.text_pair_column is None else '["your text"], ["its pair"]'
    if config.prompt is not None:
        return f"model.prompt.batch(tokenizer, {texts})"
    return f'tokenizer({texts}, padding={padding}, truncation=True, return_tensors="pt")'
