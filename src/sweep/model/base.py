"""The pretrained base: its dtype and quantisation, and its loading, with every weight accounted
for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    BitsAndBytesConfig,
    PreTrainedConfig,
    PreTrainedModel,
)

from sweep.config.adapter import AdapterConfig
from sweep.config.schema import ModelConfig
from sweep.config.settings import TrainSettings
from sweep.data.labels import LabelSpace
from sweep.errors import UserError, raise_if_out_of_memory
from sweep.model.architecture import body, check_head, fit, head_modules, label_names, language_head, read_config
from sweep.model.blueprint import draw
from sweep.model.checkpoint import KEY, Checkpoint
from sweep.model.config_json import said
from sweep.model.head import seeded
from sweep.model.pooling import install
from sweep.model.quiet import quiet

META = torch.device("meta")
_HALF = ("float16", "bfloat16")


@dataclass(frozen=True, slots=True)
class Quantization:
    """The quantisation nf4 of QLoRA (Dettmers et al. 2023, arXiv 2305.14314). `double` quantises
    the scales as well."""

    double: bool
    compute_dtype: str


@dataclass(frozen=True, slots=True)
class BaseSpec:
    """Everything that decides the base's weights in memory: equal specs share one base."""

    model: ModelConfig
    dtype: str
    quantization: Quantization | None
    labels: LabelSpace
    pad_token_id: int
    causal: bool = False  # a language model that scores label words, and not a classifier with a head


@dataclass(frozen=True, slots=True)
class Base:
    """A loaded base. `head` names the modules that every method trains in full and saves; `fresh`
    names those of them that the checkpoint does not hold: they are initialised from a trial's
    seed. A language model that scores label words has neither."""

    model: PreTrainedModel
    head: tuple[str, ...]
    fresh: tuple[str, ...]


def quantization(adapter: AdapterConfig) -> Quantization | None:
    if adapter.quantization == "none":
        return None
    return Quantization(adapter.double_quantization, adapter.compute_dtype)


def base_dtype(settings: TrainSettings, stored: str, device: torch.device) -> str:
    """Return `model.dtype`, or for `auto` the checkpoint's own dtype (`stored`).

    Under `auto` a half type becomes float32 in four cases: the base itself is trained, its layers
    are nf4 (as in PEFT's prepare_model_for_kbit_training), the device is the CPU, or fp16 has no
    gradient scaling.
    """
    adapter, trainer = settings.adapter, settings.trainer
    if settings.model.dtype != "auto":
        return settings.model.dtype
    unscaled = stored == "float16" and not (trainer.fp16 or trainer.in_bf16)
    widened = adapter.trains == "everything" or adapter.quantization != "none" or device.type == "cpu" or unscaled
    return "float32" if widened and stored in _HALF else stored


def outline(spec: BaseSpec, checkpoint: Checkpoint) -> Base:
    """Return the base on the meta device, never quantised. If the weights would have to be
    downloaded, only the config is read, and everything beyond the headless model counts as missing
    from them."""
    model = _without_weights(spec, checkpoint)
    if checkpoint.at_hand:
        return _load(spec, checkpoint, META)
    head = () if spec.causal else _own_head(model, spec)
    return Base(model, head, head)


def load(spec: BaseSpec, checkpoint: Checkpoint, device: torch.device) -> Base:
    """Return the loaded base. Raises UserError if the weights do not fit the config."""
    return _load(spec, checkpoint, device, _unquantized(outline(spec, checkpoint)) if spec.quantization else ())


def auto_class(*, causal: bool) -> type[Any]:
    return AutoModelForCausalLM if causal else AutoModelForSequenceClassification


def _unquantized(base: Base) -> tuple[str, ...]:
    """Return the modules that are never quantised: the head, or a language model's output
    layer."""
    return base.head or language_head(base.model)


def _without_weights(spec: BaseSpec, checkpoint: Checkpoint) -> PreTrainedModel:
    config = _config(spec, checkpoint)
    try:
        with META:
            model: PreTrainedModel = auto_class(causal=spec.causal).from_config(
                config,
                dtype=getattr(torch, spec.dtype),
                trust_remote_code=spec.model.trust_remote_code,
                **attention(spec.model),
            )
    except Exception as error:  # a model's code may raise any error for wrong values
        raise_if_out_of_memory(error)
        raise _cannot_be_built(spec.model, error) from error
    install(model, spec.model.pooling)
    return model


def _cannot_be_built(model: ModelConfig, error: Exception) -> UserError:
    if model.attn_implementation:
        rule = f"is {model.attn_implementation}, which this model cannot use here: {said(error)}"
        return UserError.of("model.attn_implementation", rule)
    return UserError.of(KEY, f"is {model.path}, but it cannot be built: {said(error)}")


def _load(spec: BaseSpec, checkpoint: Checkpoint, device: torch.device, unquantized: Iterable[str] = ()) -> Base:
    options: dict[str, Any] = attention(spec.model)
    if checkpoint.drawn:
        options["state_dict"] = _drawn(spec, checkpoint)
    if spec.quantization and device != META:
        options["quantization_config"] = _bitsandbytes(spec.quantization, unquantized)
    config = _config(spec, checkpoint)
    known_labels = label_names(read_config(spec.model, checkpoint))
    loader, place = _weights_of(auto_class(causal=spec.causal), checkpoint, config)
    try:
        with quiet(), seeded(0, device):
            model, info = loader.from_pretrained(
                place,
                config=config,
                revision=checkpoint.revision,
                dtype=getattr(torch, spec.dtype),
                device_map={"": device},
                trust_remote_code=spec.model.trust_remote_code,
                use_safetensors=True,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
                **options,
            )
    except Exception as error:
        raise_if_out_of_memory(error)
        raise UserError.of(KEY, f"is {spec.model.path}, but it cannot be loaded: {said(error)}") from error
    install(model, spec.model.pooling)
    if spec.quantization:
        _keep_unchanged(model, getattr(torch, spec.quantization.compute_dtype))
    absent = set(info["missing_keys"]) | {name for name, *_ in info["mismatched_keys"]}
    return _with_head(model, absent, spec, relabelled=known_labels != spec.labels.names)


def _drawn(spec: BaseSpec, checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    try:
        return draw(read_config(spec.model, checkpoint))
    except RuntimeError as error:
        raise_if_out_of_memory(error)
        raise _cannot_be_built(spec.model, error) from error


def _weights_of(auto: Any, checkpoint: Checkpoint, config: PreTrainedConfig) -> tuple[Any, str | None]:
    """Return the class to load with, and the location: an auto class needs a location, and random
    weights have none."""
    return (auto._model_mapping[type(config)], None) if checkpoint.drawn else (auto, checkpoint.location)


def _config(spec: BaseSpec, checkpoint: Checkpoint) -> PreTrainedConfig:
    config = read_config(spec.model, checkpoint)
    check_head(spec.model, config, causal=spec.causal)
    fit(config, spec.labels, spec.pad_token_id)
    return config


def attention(model: ModelConfig) -> dict[str, Any]:
    return {"attn_implementation": model.attn_implementation} if model.attn_implementation else {}


def _bitsandbytes(quantization: Quantization, unquantized: Iterable[str]) -> BitsAndBytesConfig:
    return BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=quantization.double,
        bnb_4bit_compute_dtype=getattr(torch, quantization.compute_dtype),
        llm_int8_skip_modules=list(unquantized),
    )


def _keep_unchanged(model: nn.Module, compute_dtype: torch.dtype) -> None:
    """Keep bitsandbytes from changing its layers as they are used.

    On a CPU with AVX512-BF16 the first forward pass in eval mode repacks the weights, with coarser
    scales, and training gets no gradient through them from then on. The first pass of any kind
    rounds the biases to the compute type.
    """
    from bitsandbytes.nn import Linear4bit  # type: ignore[attr-defined]

    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False
            if module.bias is not None:
                module.bias.data = module.bias.data.to(compute_dtype)


def _with_head(model: PreTrainedModel, absent: set[str], spec: BaseSpec, *, relabelled: bool) -> Base:
    """Return the base with its head. Fresh modules are those that the checkpoint lacks, and the
    head's last one where the labels are others, even if the shapes fit."""
    absent = absent & {name for name, _ in model.named_parameters()}
    top = () if spec.causal else _own_head(model, spec)
    head = () if spec.causal else (*_absent_poolers(model, absent), *top)
    lost = sorted(name for name in absent if not _within(name, head))
    if lost:
        named = ", ".join(lost[:3]) + (f" and {len(lost) - 3} more" if len(lost) > 3 else "")
        raise UserError.of(KEY, f"is {spec.model.path}, but its weights do not fit its config.json: {named}")
    fresh = tuple(
        name for name in head if any(_within(key, (name,)) for key in absent) or (relabelled and name == top[-1])
    )
    return Base(model, head, fresh)


def _own_head(model: PreTrainedModel, spec: BaseSpec) -> tuple[str, ...]:
    head = head_modules(model)
    if not head:
        rule = f"is {spec.model.path}, but the head of its architecture is no module of its own"
        raise UserError.of(KEY, f"{rule} ({model.config.model_type})")
    return head


def _absent_poolers(model: PreTrainedModel, absent: set[str]) -> tuple[str, ...]:
    """Return the small modules directly under the headless model that the checkpoint lacks: BERT's
    pooler, if the checkpoint was saved by a class without one."""
    trunk = body(model)
    found = []
    for name, child in model.get_submodule(trunk).named_children():
        weights = {f"{trunk}.{name}.{key}" for key, _ in child.named_parameters()}
        small = not any(isinstance(part, nn.Embedding | nn.ModuleList) for part in child.modules())
        if small and weights and weights <= absent:
            found.append(f"{trunk}.{name}")
    return tuple(found)


def _within(key: str, modules: Iterable[str]) -> bool:
    return any(key.startswith(f"{name}.") for name in modules)
