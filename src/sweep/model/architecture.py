"""The config.json of a checkpoint, adapted to the labels; and the parts of a model that are its
head."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.config.schema import ModelConfig
from sweep.data.labels import LabelSpace
from sweep.errors import UserError, raise_if_out_of_memory
from sweep.model import blueprint, config_json
from sweep.model.checkpoint import KEY, Checkpoint

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedConfig, PreTrainedModel

_COUNTING = "create_position_ids_from_input_ids"  # by this name wherever transformers has it
_AUTO_CLASSES = {False: "AutoModelForSequenceClassification", True: "AutoModelForCausalLM"}


def read_config(model: ModelConfig, checkpoint: Checkpoint) -> PreTrainedConfig:
    """Return the config of a checkpoint. Raises UserError if there is none, if its architecture is
    unknown, or if it needs code of the checkpoint that `model.trust_remote_code` does not
    allow."""
    from transformers import AutoConfig

    if checkpoint.drawn:
        return blueprint.read(model)
    if "config.json" not in checkpoint.files:
        raise UserError.of(KEY, f"is {model.path}, but {_no_config(checkpoint)}")
    try:
        config_json.check(_config_file(checkpoint), KEY, model.path)
        config: PreTrainedConfig = AutoConfig.from_pretrained(
            checkpoint.location, revision=checkpoint.revision, trust_remote_code=model.trust_remote_code
        )
    except UserError:
        raise
    except Exception as error:  # a wrong value may raise any error in transformers
        raise_if_out_of_memory(error)
        if "trust_remote_code" in str(error):
            raise UserError.of("model.trust_remote_code", _own_code(f"{model.path} needs")) from None
        raise UserError.of(
            KEY, f"is {model.path}, but its config.json cannot be used: {config_json.said(error)}"
        ) from None
    _check_quantization(model, config)
    _check_text_part(model, config)
    return config


def _config_file(checkpoint: Checkpoint) -> Path:
    folder = Path(checkpoint.location)
    if folder.is_dir():
        return folder / "config.json"
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(checkpoint.location, "config.json", revision=checkpoint.revision))


def _check_quantization(model: ModelConfig, config: PreTrainedConfig) -> None:
    """Refuse a quantisation that transformers does not know: it would load the weights as if they
    were not quantised."""
    from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING as KNOWN

    asked = getattr(config, "quantization_config", None)
    method = asked.get("quant_method") if isinstance(asked, dict) else getattr(asked, "quant_method", None)
    if asked is not None and str(getattr(method, "value", method)) not in KNOWN:
        rule = f"its config.json says quant_method: {method}, which transformers does not know"
        raise UserError.of(KEY, f"is {model.path}, but {rule}")


def _check_text_part(model: ModelConfig, config: PreTrainedConfig) -> None:
    """Refuse a text part that the architecture does not have: transformers takes any entry of such
    a name for the text model's config."""
    try:
        part: object = config.get_text_config()
    except ValueError as error:
        raise UserError.of(
            KEY, f"is {model.path}, but its config.json cannot be used: {config_json.said(error)}"
        ) from None
    if isinstance(part, dict):
        rule = (
            f"its config.json holds a config of a part (such as text_config), which {config.model_type} does not have"
        )
        raise UserError.of(KEY, f"is {model.path}, but {rule}")


def fit(config: PreTrainedConfig, labels: LabelSpace, pad_token_id: int) -> None:
    """Set the values that transformers reads when it builds the head and computes the loss. No
    text is generated, so the cache of keys and values is off (gradient checkpointing forbids it).
    Where positions are counted from the id of the pad token, the config keeps the id that the
    model was trained with, whatever the tokenizer pads with."""
    counted = counts_from_padding(config)
    config.id2label = dict(enumerate(labels.names))
    config.label2id = {name: index for index, name in enumerate(labels.names)}
    config.problem_type = labels.problem_type  # type: ignore[assignment]
    for part in {id(part): part for part in (config, config.get_text_config())}.values():
        if not (counted and _is_word(part.pad_token_id, part)):
            part.pad_token_id = pad_token_id
        part.use_cache = False


def counts_from_padding(config: PreTrainedConfig) -> bool:
    """Return whether positions count from `pad_token_id` over the other tokens, as in RoBERTa."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING as KNOWN

    if type(config) not in KNOWN:
        return False
    parts = vars(sys.modules[KNOWN[type(config)].__module__])
    return _COUNTING in parts or any(_COUNTING in vars(part) for part in parts.values() if isinstance(part, type))


def _is_word(token: Any, config: PreTrainedConfig) -> bool:
    return isinstance(token, int) and 0 <= token < getattr(config, "vocab_size", 0)


def label_names(config: PreTrainedConfig) -> tuple[str, ...]:
    names: dict[Any, str] = config.id2label or {}
    return tuple(names[index] for index in sorted(names))


def body(model: PreTrainedModel) -> str:
    """Return the name of the child module that is the headless model."""
    sizes = {name: _size(child) for name, child in model.named_children()}
    prefix = str(model.base_model_prefix)
    return prefix if sizes.get(prefix) else max(sizes, key=lambda name: sizes[name])


def head_modules(model: PreTrainedModel) -> tuple[str, ...]:
    """Return the modules that the sequence-classification class adds to the headless model:
    `score`, or `pre_classifier` and `classifier`, …; in the order of the forward pass as far as
    transformers declares them so. Empty for a causal language model, which classifies by label
    words."""
    others = (body(model), *language_head(model))
    return tuple(name for name, child in model.named_children() if name not in others and _size(child))


def language_head(inner: PreTrainedModel) -> tuple[str, ...]:
    """Return the name of a causal language model's output layer; empty for a classifier."""
    words = inner.get_output_embeddings()  # type: ignore[no-untyped-call]
    return tuple(name for name, module in inner.named_children() if words is not None and module is words)


def check_head(model: ModelConfig, config: PreTrainedConfig, *, causal: bool) -> None:
    """Check that the architecture can score label words as a language model (`causal`), or else
    classify with a head. Raises UserError if it cannot."""
    from transformers.models.auto import modeling_auto as auto

    known = auto.MODEL_FOR_CAUSAL_LM_MAPPING if causal else auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING
    own: dict[str, Any] = getattr(config, "auto_map", None) or {}
    what = "causal language-model head" if causal else "sequence-classification head"
    if causal and type(config) in auto.MODEL_FOR_MASKED_LM_MAPPING and not getattr(config, "is_decoder", False):
        rule = f"is {model.path}, which reads a text in both directions ({config.model_type})"
        raise UserError.of(KEY, f"{rule}: label words (prompt) need a causal language model")
    if type(config) in known:
        return
    if _AUTO_CLASSES[causal] not in own:
        rule = f"is {model.path}, but transformers has no {what} for its architecture"
        raise UserError.of(KEY, f"{rule} ({config.model_type})")
    if not model.trust_remote_code:
        raise UserError.of("model.trust_remote_code", _own_code(f"the {what} of {model.path} is"))


def _own_code(what: str) -> str:
    return f"is false, but {what} code of its own; read it, then set it to true"


def _no_config(checkpoint: Checkpoint) -> str:
    if "adapter_config.json" in checkpoint.files:
        return "it holds an adapter, not a model: name the model that the adapter was trained on"
    return "it has no config.json"


def _size(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())
