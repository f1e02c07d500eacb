"""Marks in a saved model with `model.pooling`, which make the standard loaders fail instead of
scoring wrongly.

The classes of transformers and PEFT know nothing of the pooling. Loaded by them, such a model
would give its head another vector, and plausible but wrong scores. Each file that they read
therefore says what they do not know:

config.json          a `model_type` that transformers does not have; `architecture.json` has the
                     one it has
adapter_config.json  a `peft_type` that PEFT does not have, and that its KeyError shows
model.*.safetensors  a variant, which is loaded by its name alone
the head's weights   one axis more, in whatever is saved of a model that `artifact.load` gave,
                     merged or not
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from torch import nn
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel

from sweep.config.schema import PoolingKind
from sweep.model.architecture import head_modules

ARCHITECTURE = "architecture.json"
_MARK = " with model.pooling="


def marked_type(model_type: str, kind: PoolingKind) -> str:
    return f"{model_type}_with_{kind}_pooling"


def marked_adapter(peft_type: str, kind: PoolingKind) -> str:
    return f"{peft_type}{_MARK}{kind}: only sweep.model.artifact.load loads it"


def unmarked_adapter(peft_type: str) -> str:
    """Return the type that PEFT knows."""
    return peft_type.partition(_MARK)[0]


def variant(kind: PoolingKind) -> str:
    """Return the name that transformers needs to find the weights of a model that was trained in
    full."""
    return f"{kind}_pooling"


def save_configs(config: PreTrainedConfig, model: PreTrainedModel, kind: PoolingKind, folder: Path) -> None:
    """Write `config`, which is of `model`, to architecture.json, and marked to config.json."""
    config.to_json_file(folder / ARCHITECTURE)
    marked = copy.deepcopy(config)
    _mark_config(marked, kind)
    marked.architectures = [f"{type(model).__name__}With{kind.title()}Pooling"]
    marked.save_pretrained(folder)


def read_config(folder: Path, *, trust_remote_code: bool) -> PreTrainedConfig:
    """Return the config that transformers knows, of any saved model."""
    file = config_file(folder)
    place = file if file.name == ARCHITECTURE else folder  # which may hold code of its own
    found: PreTrainedConfig = AutoConfig.from_pretrained(place, trust_remote_code=trust_remote_code)
    return found


def config_file(folder: Path) -> Path:
    """Return architecture.json, or config.json if it is absent: without a pooling transformers
    reads config.json."""
    file = folder / ARCHITECTURE
    return file if file.is_file() else folder / "config.json"


def mark(model: PreTrainedModel, kind: PoolingKind) -> None:
    """Mark everything that is saved of `model` from now on, by any method of saving. Its scores
    stay as they are, and a state dict that it gave can be loaded into it again."""
    _mark_config(model.config, kind)
    for module in model.get_submodule(head_modules(model)[-1]).modules():
        module.register_state_dict_post_hook(_add_axis)  # type: ignore[no-untyped-call]
        module.register_load_state_dict_pre_hook(_drop_axis)  # type: ignore[no-untyped-call]


def _mark_config(config: PreTrainedConfig, kind: PoolingKind) -> None:
    """Mark the config's class: transformers saves the `model_type` of the class, not of the
    instance."""
    own = type(config)
    config.__class__ = type(own.__name__, (own,), {"model_type": marked_type(own.model_type, kind)})


def _add_axis(module: nn.Module, state: dict[str, Any], prefix: str, _: object) -> None:
    for name in module._parameters:
        if (key := prefix + name) in state:
            state[key] = state[key].unsqueeze(0)


def _drop_axis(module: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
    for name, weight in module._parameters.items():
        key = prefix + name
        if key in state and weight is not None and state[key].ndim == weight.ndim + 1:
            state[key] = state[key].squeeze(0)
