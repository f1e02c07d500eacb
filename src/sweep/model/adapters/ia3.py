"""IA3: learned scales on keys, values and feed-forward layers (Liu et al. 2022, arXiv
2205.05638)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from sweep.config.adapter import AdapterConfig, Kernel
from sweep.config.section import Names
from sweep.errors import Fault, UserError

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PreTrainedModel

    from sweep.model.targets import Targets

FEEDFORWARD = "adapter.feedforward_modules"

# Keys, values and the second feed-forward layer of architectures that PEFT's table does not name.
# The last one is scaled at its input.
LAYOUTS = (
    ("k_proj", "v_proj", "down_proj"),
    ("k_proj", "v_proj", "fc2"),
    ("key", "value", "output.dense"),
    ("key", "value", "ffn_output"),
    ("k_lin", "v_lin", "ffn.lin2"),
    ("key_proj", "value_proj", "output.dense"),
    ("query_key_value", "dense_4h_to_h"),
    ("qkv_proj", "down_proj"),
    ("Wqkv", "mlp.Wo"),
    ("c_attn", "mlp.c_proj"),
    ("k", "v", "output.dense"),
    ("k", "v", "wo"),
)


class IA3Config(AdapterConfig):
    label: ClassVar[str] = "IA3"
    trained: ClassVar[str] = "IA3 vectors"
    packed_kernel: ClassVar[Kernel | None] = "ia3"

    method: Literal["ia3"] = "ia3"
    target_modules: Names | Literal["all-linear"] | None = Field(
        None, description="module name endings; null takes PEFT's default for the architecture"
    )
    feedforward_modules: tuple[str, ...] | None = Field(None, description="those of target_modules scaled at input")

    def peft_config(self, model: PreTrainedModel, head: tuple[str, ...]) -> PeftConfig:
        from peft import IA3Config as PeftIA3Config

        targets, feedforward = self.targets(model, head)
        return PeftIA3Config(
            target_modules=targets.modules, feedforward_modules=feedforward, fan_in_fan_out=targets.transposed
        )

    def targets(self, model: PreTrainedModel, head: tuple[str, ...]) -> tuple[Targets, list[str]]:
        """Return the layers, and those of them that are scaled at their input. Raises UserError
        for layers that the model lacks."""
        from peft.utils.constants import TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING as TABLE
        from peft.utils.constants import TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING as TARGETS

        from sweep.model.targets import find_targets, layer_faults

        targets = find_targets(model, head, self.target_modules, table=TARGETS, layouts=LAYOUTS)
        known = TABLE.get(model.config.model_type, ())
        if self.feedforward_modules is not None:
            feedforward = list(self.feedforward_modules)
        elif targets.origin == "table":
            feedforward = list(known)
        elif targets.origin == "layout":
            feedforward = list(targets.modules[-1:])
        else:
            feedforward = _among(targets.modules, known)
        faults = (
            layer_faults(FEEDFORWARD, feedforward, targets.layers)
            if targets.modules == "all-linear"
            else _not_targets(targets.modules, feedforward)
        )
        if faults:
            raise UserError(faults)
        return targets, feedforward


def _among(named: Sequence[str] | str, known: Sequence[str]) -> list[str]:
    """Return the endings that are known to be of feed-forward layers."""
    candidates = {*known, *(layout[-1] for layout in LAYOUTS)}
    return [] if isinstance(named, str) else [name for name in named if name in candidates]


def _not_targets(modules: Sequence[str] | str, feedforward: Sequence[str]) -> list[Fault]:
    allowed = ", ".join(modules)
    return [
        Fault(FEEDFORWARD, f"holds {name}, but must be part of adapter.target_modules: {allowed}")
        for name in feedforward
        if name not in modules
    ]
