"""DoRA: LoRA with a trained magnitude for each output of a layer (Liu et al. 2024, arXiv
2402.09353)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from sweep.config.adapter import Kernel
from sweep.model.adapters.lora import LoraSettings

if TYPE_CHECKING:
    from peft import LoraConfig as PeftLoraConfig
    from transformers import PreTrainedModel


class DoraConfig(LoraSettings):
    label: ClassVar[str] = "DoRA"
    trained: ClassVar[str] = "DoRA matrices and magnitudes"
    packed_kernel: ClassVar[Kernel | None] = "dora"

    method: Literal["dora"] = "dora"

    def peft_config(self, model: PreTrainedModel, head: tuple[str, ...]) -> PeftLoraConfig:
        found = super().peft_config(model, head)
        found.use_dora = True
        return found
