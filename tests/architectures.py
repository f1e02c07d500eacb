"""A tiny random model of each architecture that the table in docs/models.md names, with a tokenizer of whole words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedTokenizerFast

from packs import _byte_pair_tokenizer
from trials import WORDS

_SPECIAL = ["<pad>", "<s>", "</s>", "<unk>"]
_COMMON = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
    "max_position_embeddings": 64, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
_GROUPED: dict[str, Any] = {"num_key_value_heads": 1, "head_dim": 16}
_LAST_WINDOWED: dict[str, Any] = {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1}
_FIRST_WINDOWED: dict[str, Any] = {"sliding_window": 4, "layer_types": ["sliding_attention", "full_attention"]}
_EXPERTS: dict[str, Any] = {"num_local_experts": 2, "num_experts_per_tok": 1}
_BOTH_STACKS: dict[str, Any] = {
    "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64,
}  # fmt: skip
_T5: dict[str, Any] = {
    "d_model": 32,
    "d_kv": 16,
    "d_ff": 64,
    "num_layers": 2,
    "num_heads": 2,
    "decoder_start_token_id": 0,
}

# What an architecture's config takes beside the common names. Windows are shorter than the rows of the tests.
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "albert": {"embedding_size": 16},
    "bart": _BOTH_STACKS,
    "bert": {},
    "biogpt": {},
    "bloom": {},
    "camembert": {},
    "convbert": {"embedding_size": 32},
    "data2vec-text": {},
    "deberta": {},
    "deberta-v2": {},
    "distilbert": {"hidden_dim": 64},
    "electra": {"embedding_size": 32},
    "ernie": {},
    "esm": {"mask_token_id": 3, "position_embedding_type": "rotary"},
    "eurobert": {"num_key_value_heads": 2, "head_dim": 16},
    "falcon": {"num_kv_heads": 1},
    "gemma": _GROUPED,
    "gemma2": {**_GROUPED, "sliding_window": 4, "query_pre_attn_scalar": 16},
    "gemma3_text": {**_GROUPED, **_FIRST_WINDOWED},
    "glm": _GROUPED,
    "gpt2": {},
    "gpt_bigcode": {},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "window_size": 4},
    "gpt_neox": {},
    "gpt_oss": {**_GROUPED, **_FIRST_WINDOWED, **_EXPERTS, "rope_parameters": {"rope_type": "default", "rope_theta": 1e4}},
    "gptj": {"rotary_dim": 8},
    "helium": _GROUPED,
    "layoutlm": {},
    "llama": _GROUPED,
    "mbart": _BOTH_STACKS,
    "megatron-bert": {},
    "mistral": {**_GROUPED, "sliding_window": 4},
    "mixtral": {**_GROUPED, **_EXPERTS, "sliding_window": 4},
    "mobilebert": {"embedding_size": 32, "intra_bottleneck_size": 32, "true_hidden_size": 32},
    "modernbert": {"local_attention": 4, "global_attn_every_n_layers": 2, "cls_token_id": 1, "sep_token_id": 2},
    "modernbert-decoder": {"local_attention": 8, "global_attn_every_n_layers": 2, "cls_token_id": 1, "sep_token_id": 2},
    "mpnet": {},
    "mpt": {"d_model": 32, "n_heads": 2, "n_layers": 2},
    "mt5": _T5,
    "nemotron": _GROUPED,
    "olmo": {"num_key_value_heads": 2},
    "olmo2": {"num_key_value_heads": 2},
    "openai-gpt": {},
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": 32},
    "phi": {"num_key_value_heads": 2},
    "phi3": {**_GROUPED, "sliding_window": 4},
    "phimoe": {"num_key_value_heads": 2, "num_local_experts": 2, "sliding_window": 4},
    "qwen2": {**_GROUPED, **_LAST_WINDOWED},
    "qwen2_moe": {
        **_GROUPED, **_LAST_WINDOWED, "num_experts": 2, "num_experts_per_tok": 1, "moe_intermediate_size": 32,
        "shared_expert_intermediate_size": 32,
    },
    "qwen3": {**_GROUPED, **_LAST_WINDOWED},
    "rembert": {"input_embedding_size": 16},
    "roberta": {},
    "roformer": {"embedding_size": 32},
    "smollm3": _GROUPED,
    "squeezebert": {"embedding_size": 32, "q_groups": 2, "k_groups": 2, "v_groups": 2, "post_attention_groups": 1,
                    "intermediate_groups": 2, "output_groups": 2},
    "stablelm": {"num_key_value_heads": 2},
    "starcoder2": {"num_key_value_heads": 1, "sliding_window": 4},
    "t5": _T5,
    "xlm": {},
    "xlm-roberta": {},
}  # fmt: skip


# Where PEFT has adapters for layers of attention alone: a router is a linear layer that gives several things.
TARGETS = dict.fromkeys(("mixtral", "phimoe", "qwen2_moe"), ("q_proj", "v_proj"))


def tiny_model(architecture: str, folder: Path, *, dropout: float = 0.0) -> Path:
    """Two layers, width 32, weights large enough to tell words apart. `dropout` is every rate that its config knows."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _byte_pair_tokenizer(folder) if architecture == "qwen2" else _words(architecture)
    config = AutoConfig.for_model(architecture, vocab_size=len(tokenizer), **{**_COMMON, **ARCHITECTURES[architecture]})
    for name in vars(config):
        if isinstance(getattr(config, name), float) and ("dropout" in name or name.endswith(("_pdrop", "_drop"))):
            setattr(config, name, dropout)
    for name in ("initializer_range", "init_std"):
        if hasattr(config, name):
            setattr(config, name, 0.2)
    with torch.random.fork_rng([]):
        torch.manual_seed(3)
        model = AutoModelForSequenceClassification.from_config(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _words(architecture: str) -> PreTrainedTokenizerFast:
    vocabulary = {word: index for index, word in enumerate([*_SPECIAL, *WORDS])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    if architecture in ("bart", "mbart", "t5", "mt5"):  # their heads read the end mark
        words.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
    return PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
