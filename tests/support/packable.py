"""Tiny random models of the architectures whose packs are tested closely, with the words of their
data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    BertTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Tokenizer,
)

from support.trials import WORDS


def _encoder_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]))
    return BertTokenizer(vocab=str(folder / "vocab.txt"))


def _word_tokenizer(_: Path) -> PreTrainedTokenizerFast:
    vocabulary = {word: index for index, word in enumerate(["<pad>", "<s>", "</s>", "<unk>", *WORDS])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def _causal_tokenizer(_: Path) -> PreTrainedTokenizerFast:
    """No pad token, as GPT-2 and Llama have none."""
    vocabulary = {word: index for index, word in enumerate(["<|end|>", "<|unknown|>", *WORDS])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="<|unknown|>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token="<|end|>", bos_token="<|end|>", unk_token="<|unknown|>"
    )


def byte_pair_tokenizer(_: Path) -> PreTrainedTokenizerFast:
    """Return a byte-pair tokenizer of Qwen2's class: transformers treats every tokenizer of a
    Qwen2 as its own."""
    spelt = [[*word] for word in (*WORDS, *(f"\N{LATIN CAPITAL LETTER G WITH DOT ABOVE}{word}" for word in WORDS))]
    merges = dict.fromkeys(("".join(word[:end]), word[end]) for word in spelt for end in range(1, len(word)))
    letters = dict.fromkeys(letter for word in spelt for letter in word)
    vocabulary = dict.fromkeys(["<|end|>", *letters, *(left + right for left, right in merges)])
    ids = {word: index for index, word in enumerate(vocabulary)}
    return Qwen2Tokenizer(vocab=ids, merges=list(merges), unk_token="<|end|>", eos_token="<|end|>", pad_token=None)


def _build(architecture: str, words: int, **shape: Any) -> PreTrainedModel:
    config = AutoConfig.for_model(architecture, vocab_size=words, initializer_range=0.2, **shape)
    made: PreTrainedModel = AutoModelForSequenceClassification.from_config(config)
    return made


def _bert(words: int, dropout: float) -> PreTrainedModel:
    return _build(
        "bert", words, max_position_embeddings=32, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout,
    )  # fmt: skip


def _roberta(words: int, dropout: float) -> PreTrainedModel:
    """Counts positions from behind that of padding."""
    return _build(
        "roberta", words, max_position_embeddings=40, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout, pad_token_id=0,
        type_vocab_size=2,
    )  # fmt: skip


def _distilbert(words: int, dropout: float) -> PreTrainedModel:
    return _build(
        "distilbert", words, max_position_embeddings=32, dim=32, hidden_dim=64, n_layers=2, n_heads=2, dropout=dropout,
        attention_dropout=dropout, seq_classif_dropout=dropout,
    )  # fmt: skip


def _modernbert(words: int, dropout: float) -> PreTrainedModel:
    """Its first layer sees all tokens, its second those that are at most two away."""
    return _build(
        "modernbert", words, max_position_embeddings=32, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, local_attention=4, global_attn_every_n_layers=2, attention_dropout=dropout,
        embedding_dropout=dropout, mlp_dropout=dropout, classifier_dropout=dropout, pad_token_id=0, bos_token_id=2,
        eos_token_id=3, cls_token_id=2, sep_token_id=3,
    )  # fmt: skip


def _gpt2(words: int, dropout: float) -> PreTrainedModel:
    return _build(
        "gpt2", words, n_positions=32, n_embd=32, n_layer=2, n_head=2, resid_pdrop=dropout, embd_pdrop=dropout,
        attn_pdrop=dropout, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip


def _decoder(architecture: str, **own: Any) -> Callable[[int, float], PreTrainedModel]:
    def make(words: int, dropout: float) -> PreTrainedModel:
        return _build(
            architecture, words, max_position_embeddings=32, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
            num_attention_heads=2, num_key_value_heads=1, attention_dropout=dropout, bos_token_id=0, eos_token_id=0,
            pad_token_id=None, **own,
        )  # fmt: skip

    return make


_HALF_WINDOWED = {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1}
_ARCHITECTURES: dict[str, tuple[Callable[[Path], PreTrainedTokenizerFast], Callable[[int, float], PreTrainedModel]]] = {
    "bert": (_encoder_tokenizer, _bert),
    "roberta": (_word_tokenizer, _roberta),
    "distilbert": (_encoder_tokenizer, _distilbert),
    "gpt2": (_causal_tokenizer, _gpt2),
    "llama": (_causal_tokenizer, _decoder("llama")),
    "gemma": (_causal_tokenizer, _decoder("gemma", head_dim=16)),
    "qwen2": (byte_pair_tokenizer, _decoder("qwen2")),
    "mistral": (_causal_tokenizer, _decoder("mistral", sliding_window=4)),
    "phi3": (_causal_tokenizer, _decoder("phi3", sliding_window=4)),
    "qwen3": (_causal_tokenizer, _decoder("qwen3", head_dim=16, **_HALF_WINDOWED)),
    "gemma2": (_causal_tokenizer, _decoder("gemma2", head_dim=16, attn_logit_softcapping=2.0, query_pre_attn_scalar=16,
                                           sliding_window=4)),
    "gemma3": (_causal_tokenizer, _decoder("gemma3_text", head_dim=16, sliding_window=4,
                                           layer_types=["sliding_attention", "full_attention"])),
    "modernbert": (_encoder_tokenizer, _modernbert),
    "qwen2_moe": (_causal_tokenizer, _decoder("qwen2_moe", num_experts=2, num_experts_per_tok=1, moe_intermediate_size=32,
                                              shared_expert_intermediate_size=32, **_HALF_WINDOWED)),
}  # fmt: skip
WINDOWED = ("mistral", "phi3", "qwen3", "gemma2", "gemma3", "modernbert")  # the rows of the tests are longer
PACKABLE = tuple(name for name in _ARCHITECTURES if name != "qwen2_moe")  # does not tell attention of its window


def tiny(architecture: str, folder: Path, *, dropout: float = 0.0, labels: tuple[str, ...] = ()) -> Path:
    """Save a model of two layers and width 32, with random weights large enough to tell words
    apart. With `labels` the head has these labels, so that trials start from the saved head."""
    make_tokenizer, make = _ARCHITECTURES[architecture]
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer(folder)
    with torch.random.fork_rng([]):
        torch.manual_seed(3)
        model = make(len(tokenizer), dropout)
        if labels:
            model.config.id2label = dict(enumerate(labels))
            model.config.label2id = {name: index for index, name in enumerate(labels)}
            model = type(model)(model.config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
