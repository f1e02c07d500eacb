"""A tiny classifier of each of many architectures, with random weights and a tokenizer of
words."""

from __future__ import annotations

from collections.abc import Sequence
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
    "intermediate_size": 64, "max_position_embeddings": POSITIONS, "initializer_range": 0.3, "init_std": 0.3,
    "num_labels": 3, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
# Windows are shorter than the rows of the tests.
_FIRST_WINDOWED: dict[str, Any] = {"sliding_window": 4, "layer_types": ["sliding_attention", "full_attention"]}
_LAST_WINDOWED: dict[str, Any] = {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1}
_HEADS: dict[str, Any] = {"head_dim": 8}
_EXPERTS: dict[str, Any] = {"num_local_experts": 2, "num_experts_per_tok": 1}
_GPT: dict[str, Any] = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": POSITIONS, "hidden_size": None}
_MODERNBERT: dict[str, Any] = {"global_attn_every_n_layers": 2, "cls_token_id": 1, "sep_token_id": 2}
_XLM: dict[str, Any] = {"emb_dim": 32, "n_layers": 2, "n_heads": 4, "pad_index": 0, "embed_init_std": 0.3}
_BART: dict[str, Any] = {
    "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "decoder_start_token_id": 2,
}  # fmt: skip
_T5: dict[str, Any] = {
    "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 4, "n_positions": POSITIONS,
    "decoder_start_token_id": 0,
}  # fmt: skip

# What an architecture's config takes beside the common names; null takes one of those away.
_OWN: dict[str, dict[str, Any]] = {
    "albert": {"embedding_size": 16},
    "bart": _BART,
    "bert": {},
    "bigbird_pegasus": _BART,
    "biogpt": {},
    "bloom": {"n_layer": 2, "n_head": 4},
    "camembert": {},
    "canine": {"vocab_size": None, "num_key_value_heads": None},
    "convbert": {"embedding_size": 32, "head_ratio": 2, "conv_kernel_size": 3},
    "ctrl": {**_GPT, "dff": 64},
    "data2vec-text": {},
    "deberta": {},
    "deberta-v2": {"relative_attention": True, "position_buckets": 16, "type_vocab_size": 0},
    "distilbert": {"dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 4},
    "electra": {"embedding_size": 32},
    "ernie": {},
    "esm": {"position_embedding_type": "absolute", "mask_token_id": 4},
    "eurobert": _HEADS,
    "falcon": {"multi_query": True},
    "flaubert": _XLM,
    "fnet": {},
    "gemma": _HEADS,
    "gemma2": {**_HEADS, "sliding_window": 4, "query_pre_attn_scalar": 8},
    "gemma3_text": {**_HEADS, **_FIRST_WINDOWED, "query_pre_attn_scalar": 8},
    "glm": _HEADS,
    "gpt2": _GPT,
    "gpt_bigcode": _GPT,
    "gpt_neo": {"num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]], "window_size": 4},
    "gpt_neox": {},
    "gpt_oss": {**_HEADS, **_FIRST_WINDOWED, **_EXPERTS, "rope_parameters": {"rope_type": "default", "rope_theta": 1e4}},
    "gptj": {**_GPT, "rotary_dim": 4},
    "helium": _HEADS,
    "ibert": {},
    "layoutlm": {},
    "llama": {},
    "longformer": {"attention_window": [16, 16]},
    "luke": {"entity_vocab_size": 10, "entity_emb_size": 16},
    "mbart": _BART,
    "megatron-bert": {},
    "mistral": {"sliding_window": 4},
    "mixtral": {**_EXPERTS, "sliding_window": 4},
    "mobilebert": {"embedding_size": 32, "intra_bottleneck_size": 32, "true_hidden_size": 32},
    "modernbert": {**_MODERNBERT, "num_hidden_layers": 3, "local_attention": 4},
    "modernbert-decoder": {**_MODERNBERT, "local_attention": 8},
    "mpnet": {},
    "mpt": {"d_model": 32, "n_layers": 2, "n_heads": 4, "expansion_ratio": 2, "max_seq_len": POSITIONS},
    "mt5": _T5,
    "mvp": _BART,
    "nemotron": {},
    "nystromformer": {"num_landmarks": 8, "segment_means_seq_len": 8, "conv_kernel_size": 3},
    "olmo": {},
    "olmo2": {},
    "openai-gpt": _GPT,
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": 32},
    "phi": {},
    "phi3": {"sliding_window": 4},
    "phimoe": {"num_local_experts": 2, "sliding_window": 4},
    "plbart": _BART,
    "qwen2": _LAST_WINDOWED,
    "qwen2_moe": {
        **_LAST_WINDOWED, "num_experts": 2, "num_experts_per_tok": 1, "moe_intermediate_size": 32,
        "shared_expert_intermediate_size": 32,
    },
    "qwen3": {**_HEADS, **_LAST_WINDOWED},
    "rembert": {"input_embedding_size": 16},
    "roberta": {},
    "roformer": {},
    "smollm3": {},
    "squeezebert": {"embedding_size": 32},
    "stablelm": {},
    "starcoder2": {"sliding_window": 4},
    "t5": _T5,
    "umt5": _T5,
    "xlm": _XLM,
    "xlm-roberta": {},
    "xlnet": {
        **dict.fromkeys(_COMMON), "vocab_size": 96, "initializer_range": 0.3, "num_labels": 3, "pad_token_id": 0,
        "bos_token_id": 1, "eos_token_id": 2, "d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 64,
    },
    "xmod": {"languages": ["en"], "default_language": "en"},
    "yoso": {},
}  # fmt: skip
ARCHITECTURES = tuple(_OWN)
ENCODER_DECODERS = ("bart", "bigbird_pegasus", "mbart", "mt5", "mvp", "plbart", "t5", "umt5")


def word_tokenizer(side: str = "right", *, end: bool = True, words: Sequence[str] = WORDS) -> PreTrainedTokenizerFast:
    """A text starts with `<s>` and, with `end`, ends with `</s>`."""
    special = [PAD, START, END, UNKNOWN]
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate([*special, *words])}, unk_token=UNKNOWN))
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
    """Save config and tokenizer, without weights, and return the model: two layers, width 32,
    three labels, in eval mode, with weights large enough to tell words apart."""
    settings = {**_COMMON, **_OWN[name], **changes}
    config = AutoConfig.for_model(name, **{key: value for key, value in settings.items() if value is not None})
    config.use_cache = False
    with torch.random.fork_rng([]):
        torch.manual_seed(3)
        model: PreTrainedModel = AutoModelForSequenceClassification.from_config(config)
    config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model.eval()


def rates(name: str, dropout: float) -> dict[str, float]:
    """Every rate of dropout that the architecture's config knows."""
    known = vars(AutoConfig.for_model(name))
    drops = (key for key in known if "dropout" in key or key.endswith(("_pdrop", "_drop")))
    return {key: dropout for key in drops if isinstance(known[key], float)}
