"""Tiny classifiers of many architectures with random weights, each with a tokenizer of words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel, PreTrainedTokenizerFast

WORDS = [first + second for first in "bcdfghjklm" for second in ("a", "e", "i", "o", "u", "ai", "ou", "ee")]
PAD, START, END, UNKNOWN = "<pad>", "<s>", "</s>", "<unk>"
POSITIONS = 40

_COMMON: dict[str, Any] = {
    "vocab_size": 96, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 64, "max_position_embeddings": POSITIONS, "initializer_range": 0.3,
}  # fmt: skip
_GPT: dict[str, Any] = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": POSITIONS, "hidden_size": None}
_XLM: dict[str, Any] = {
    "emb_dim": 32,
    "n_layers": 2,
    "n_heads": 4,
    "pad_index": 0,
    "init_std": 0.3,
    "embed_init_std": 0.3,
}
_BART: dict[str, Any] = {
    "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "decoder_start_token_id": 2, "init_std": 0.3,
}  # fmt: skip
_T5: dict[str, Any] = {
    "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 4, "n_positions": POSITIONS,
    "decoder_start_token_id": 0,
}  # fmt: skip
_HEADS: dict[str, Any] = {"head_dim": 8}
_OWN: dict[str, dict[str, Any]] = {
    "albert": {"embedding_size": 16}, "bert": {}, "biogpt": {}, "bloom": {"n_layer": 2, "n_head": 4}, "canine": {},
    "convbert": {"embedding_size": 32, "head_ratio": 2, "conv_kernel_size": 3}, "ctrl": {**_GPT, "dff": 64},
    "data2vec-text": {}, "deberta-v2": {"relative_attention": True, "position_buckets": 16, "type_vocab_size": 0},
    "distilbert": {"dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 4}, "electra": {"embedding_size": 32},
    "esm": {"position_embedding_type": "absolute", "mask_token_id": 4}, "falcon": {"multi_query": True}, "fnet": {},
    "flaubert": _XLM, "gemma": _HEADS, "gemma3_text": {**_HEADS, "sliding_window": 8, "query_pre_attn_scalar": 8}, "gpt2": _GPT,
    "gpt_bigcode": _GPT, "gpt_neox": {}, "gptj": {**_GPT, "rotary_dim": 4}, "ibert": {}, "layoutlm": {}, "llama": {},
    "gpt_neo": {"num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]], "window_size": 8},
    "longformer": {"attention_window": [16, 16]}, "luke": {"entity_vocab_size": 10, "entity_emb_size": 16},
    "megatron-bert": {}, "mistral": {"sliding_window": 8},
    "modernbert": {
        "num_hidden_layers": 3, "local_attention": 8, "global_attn_every_n_layers": 2, "cls_token_id": 1, "sep_token_id": 2,
    },
    "mpnet": {}, "mpt": {"d_model": 32, "n_layers": 2, "n_heads": 4, "expansion_ratio": 2, "max_seq_len": POSITIONS},
    "nystromformer": {"num_landmarks": 8, "segment_means_seq_len": 8, "conv_kernel_size": 3}, "openai-gpt": _GPT,
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": 32}, "phi": {}, "phi3": {}, "qwen3": _HEADS, "rembert": {},
    "roberta": {}, "roformer": {}, "squeezebert": {"embedding_size": 32}, "stablelm": {}, "xlm": _XLM, "xlm-roberta": {},
    "xlnet": {"d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 64}, "xmod": {"languages": ["en"], "default_language": "en"},
    "yoso": {}, "bart": _BART, "mbart": _BART, "mvp": _BART, "plbart": _BART, "bigbird_pegasus": _BART, "t5": _T5,
    "mt5": _T5, "umt5": _T5,
}  # fmt: skip
ARCHITECTURES = tuple(_OWN)
ENCODER_DECODERS = ("bart", "mbart", "mvp", "plbart", "bigbird_pegasus", "t5", "mt5", "umt5")


def word_tokenizer(side: str = "right", *, end: bool = True) -> PreTrainedTokenizerFast:
    """A text starts with `<s>` and, with `end`, ends with `</s>`."""
    special = [PAD, START, END, UNKNOWN]
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate([*special, *WORDS])}, unk_token=UNKNOWN))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    closed = f" {END}" if end else ""
    made.post_processor = processors.TemplateProcessing(
        single=f"{START} $A{closed}", pair=f"{START} $A {START} $B{closed}", special_tokens=[(START, 1), (END, 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token=PAD, bos_token=START, eos_token=END, unk_token=UNKNOWN, padding_side=side,
        model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip


def save_architecture(name: str, folder: Path, tokenizer: PreTrainedTokenizerFast, **changes: Any) -> PreTrainedModel:
    """A classifier with three labels in eval mode, saved without its weights: for what reads config and tokenizer alone."""
    settings = {**({} if name in ("xlnet", "canine") else _COMMON), **_OWN[name], **changes}
    if name == "canine":
        settings |= {key: _COMMON[key] for key in _COMMON if key not in ("vocab_size", "num_key_value_heads")}
    if name == "xlnet":
        settings |= {"vocab_size": _COMMON["vocab_size"], "initializer_range": 0.3}
    given = {key: value for key, value in settings.items() if value is not None}
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = AutoConfig.for_model(name, **{"num_labels": 3, **ids, **given})
    config.use_cache = False
    with torch.random.fork_rng([]):
        torch.manual_seed(3)
        model: PreTrainedModel = AutoModelForSequenceClassification.from_config(config)
    config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model.eval()
