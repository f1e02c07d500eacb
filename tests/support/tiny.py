"""Tiny pretrained models with random weights, as directories: a model in safetensors and a
tokenizer each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaModel,
)

WORDS = """
    the a my card money bank account lost stolen top up transfer pin change how do i is not was to of in for please help
    why when where what can cannot new old pay payment cash refund fee charge rate exchange
"""
ADAPTERS: dict[str, dict[str, Any]] = {
    "lora": {"method": "lora"},
    "qlora": {"method": "lora", "quantization": "nf4"},
    "ia3": {"method": "ia3"},
    "head": {"method": "head"},
    "full": {"method": "full"},
}
LIMIT = 64  # positions of every model
WIDTH = 32


def tiny_gpt2(folder: Path) -> Path:
    """No pad token, linear layers kept as (in, out): as GPT-2 and DialoGPT are."""
    tokenizer = _causal_tokenizer()
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=LIMIT, n_embd=WIDTH, n_layer=2, n_head=2,
        bos_token_id=tokenizer.eos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    return _save(folder, lambda: GPT2LMHeadModel(config), tokenizer)


def tiny_llama(folder: Path) -> Path:
    """No pad token; a bfloat16 checkpoint."""
    tokenizer = _causal_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer), max_position_embeddings=LIMIT, hidden_size=WIDTH, intermediate_size=2 * WIDTH,
        num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
        bos_token_id=tokenizer.eos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    return _save(folder, lambda: LlamaForCausalLM(config).to(torch.bfloat16), tokenizer)


def tiny_bert(folder: Path, *, pooler: bool = True) -> Path:
    """Without `pooler` the checkpoint lacks one, and a sequence classifier has to make its own."""
    tokenizer = _masked_tokenizer()
    config = BertConfig(
        vocab_size=len(tokenizer), max_position_embeddings=LIMIT, hidden_size=WIDTH, intermediate_size=2 * WIDTH,
        num_hidden_layers=2, num_attention_heads=2, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    return _save(folder, lambda: BertModel(config, add_pooling_layer=pooler), tokenizer)


def tiny_distilbert(folder: Path) -> Path:
    """Two modules in the head, and an architecture that PEFT has no default target modules for."""
    tokenizer = _masked_tokenizer()
    config = DistilBertConfig(
        vocab_size=len(tokenizer), max_position_embeddings=LIMIT, dim=WIDTH, hidden_dim=2 * WIDTH,
        n_layers=2, n_heads=2, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    return _save(folder, lambda: DistilBertModel(config), tokenizer)


def tiny_roberta(folder: Path) -> Path:
    """Save a model whose head is a dense layer and a projection, without a pooler; positions count
    from behind the pad token's id."""
    tokenizer = _masked_tokenizer()
    config = RobertaConfig(
        vocab_size=len(tokenizer), max_position_embeddings=LIMIT + 1, hidden_size=WIDTH, intermediate_size=2 * WIDTH,
        num_hidden_layers=2, num_attention_heads=2, pad_token_id=tokenizer.pad_token_id, type_vocab_size=2,
        bos_token_id=tokenizer.cls_token_id, eos_token_id=tokenizer.sep_token_id,
    )  # fmt: skip
    return _save(folder, lambda: RobertaModel(config, add_pooling_layer=False), tokenizer)


def all_models(root: Path) -> dict[str, Path]:
    """One folder of each architecture."""
    made = {
        "gpt2": tiny_gpt2, "llama": tiny_llama, "bert": tiny_bert, "distilbert": tiny_distilbert, "roberta": tiny_roberta,
    }  # fmt: skip
    return {name: make(root / name) for name, make in made.items()}


def _save(folder: Path, build: object, tokenizer: PreTrainedTokenizerFast) -> Path:
    assert callable(build)
    with torch.random.fork_rng([]):
        torch.manual_seed(7)
        model = build()
    assert isinstance(model, PreTrainedModel)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _causal_tokenizer() -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=_words(["<|end|>", "<|unknown|>"], unknown="<|unknown|>"),
        eos_token="<|end|>", bos_token="<|end|>", unk_token="<|unknown|>",
    )  # fmt: skip


def _masked_tokenizer() -> PreTrainedTokenizerFast:
    made = _words(["[PAD]", "[UNK]", "[CLS]", "[SEP]"], unknown="[UNK]")
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )


def _words(special: list[str], unknown: str) -> Tokenizer:
    vocabulary = {word: index for index, word in enumerate([*special, *dict.fromkeys(WORDS.split())])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token=unknown))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return made
