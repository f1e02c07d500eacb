"""The architecture of a model without weights: a config.json, as it is or shrunk, and random
weights for it."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.config.folders import conf_dir, expanded
from sweep.config.schema import ModelConfig
from sweep.errors import UserError
from sweep.model.checkpoint import blamed, locate
from sweep.model.config_json import read as read_facts
from sweep.model.config_json import said
from sweep.model.paths import resolve

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedConfig

KEY = "model.config"
SEED = 0  # of the weights: the same in every trial and every process

# Keys on files, not on the architecture: the place of code and weights, and their format.
_NOT_OF_IT = ("auto_map", "quantization_config", "_name_or_path", "transformers_version")


def read(model: ModelConfig) -> PreTrainedConfig:
    """Return the config of a random model. Raises UserError with all faults of `model.config` and
    `model.shrink`."""
    from transformers import CONFIG_MAPPING, AutoConfig

    from sweep.model.shrink import shrunk

    facts = _facts(model)
    kind = str(facts.pop("model_type", ""))

    def build(**changes: Any) -> PreTrainedConfig:
        return AutoConfig.for_model(kind, **{**facts, **changes})

    try:
        whole = build()
    except Exception as error:  # a wrong value may raise any error in transformers
        known = kind in CONFIG_MAPPING
        rule = "cannot be used" if known else "names no architecture that transformers knows"
        raise _refused(model, f"{rule}: {said(error)}") from None
    return shrunk(whole, model.shrink, build)


def config_file(model: ModelConfig) -> Path | None:
    """Return `model.config`, or the config.json of a local `model.path`; None where the hub has
    it."""
    if model.config is None:
        folder = Path(resolve(model.path))
        if folder.is_dir() and not (folder / "config.json").is_file():
            raise UserError.of("model.path", f"is {model.path}, but it has no config.json; model.config can name one")
        return folder / "config.json" if folder.is_dir() else None
    shipped = _shipped()
    named = expanded(model.config)
    file = shipped.get(model.config) or (named / "config.json" if named.is_dir() else named)
    if not file.is_file():
        rule = f"must be a config.json or one of those that are shipped: {', '.join(sorted(shipped))}"
        raise UserError.of(KEY, f"is {model.config}, but there is no such file; it {rule}")
    return file


def draw(config: PreTrainedConfig) -> dict[str, Tensor]:
    """Return random weights of the headless model, or of a causal one with its language-model
    head. They are float32, on the CPU, and drawn from `SEED`: they depend neither on the labels
    nor on the padding nor on torch's generator."""
    import torch
    from transformers import AutoModel, AutoModelForCausalLM

    from sweep.model.head import seeded

    plain = deepcopy(config)
    for part in {id(part): part for part in (plain, plain.get_text_config())}.values():
        part.pad_token_id = None
    kind = AutoModelForCausalLM if causal(config) else AutoModel
    with seeded(SEED, torch.device("cpu")):
        model = kind.from_config(plain, dtype=torch.float32)  # type: ignore[no-untyped-call]
    weights: dict[str, Tensor] = model.state_dict()
    return weights


def causal(config: PreTrainedConfig) -> bool:
    """Return whether the architecture is a causal language model. transformers has a causal class
    for some masked language models too, which do not count."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_MASKED_LM_MAPPING

    return type(config) in MODEL_FOR_CAUSAL_LM_MAPPING and type(config) not in MODEL_FOR_MASKED_LM_MAPPING


def _facts(model: ModelConfig) -> dict[str, Any]:
    file = config_file(model) or _from_hub(model)
    facts, rules = read_facts(file)
    if rules:
        raise UserError([fault for rule in rules for fault in _refused(model, rule).faults])
    if "model_type" not in facts:
        raise _refused(model, "has no model_type, and so is the config.json of no model")
    return {key: value for key, value in facts.items() if key not in _NOT_OF_IT}


def _from_hub(model: ModelConfig) -> Path:
    from huggingface_hub import hf_hub_download

    found = locate(resolve(model.path), model.revision)
    if Path(found.location).is_dir():
        return Path(found.location) / "config.json"
    with blamed(KEY, f"is null, and that of {model.path} cannot be had"):
        return Path(hf_hub_download(found.location, "config.json", revision=found.revision))


def _shipped() -> dict[str, Path]:
    return {file.stem: file for file in (conf_dir() / "model").glob("*.json")}


def _refused(model: ModelConfig, rule: str) -> UserError:
    if model.config is None:
        return UserError.of("model.path", f"is {model.path}, but its config.json {rule}")
    return UserError.of(KEY, f"is {model.config}, but it {rule}")
