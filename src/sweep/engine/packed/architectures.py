"""Architectures whose trials can never be packed, found before a weight is read."""

from __future__ import annotations

from typing import cast

from transformers import PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

from sweep.config.schema import ModelConfig
from sweep.model.architecture import read_config
from sweep.model.source import find


def never_packed(model: ModelConfig) -> str | None:
    """Return why no trial on the model can be packed, None where only a try shows it. Raises
    UserError where the model cannot be reached."""
    config = read_config(model, find(model))
    if config.is_encoder_decoder:
        return f"an encoder-decoder ({config.model_type}) reads a text twice"
    kind = cast(type[PreTrainedModel] | None, MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING.get(type(config), None))
    if kind is not None and not kind._can_set_attn_implementation():
        return f"the architecture {config.model_type} computes attention in a way of its own"
    return None
