"""The method `peft`: any other method of PEFT, by its own name and options."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from sweep.config.adapter import AdapterConfig
from sweep.config.section import Names
from sweep.errors import UserError, closest, first_line

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PreTrainedModel

TYPE, OPTIONS = "adapter.peft_type", "adapter.options"

_ROWS_OF_TASKS = "needs the number of a task with each row, which a text classification has not"
_VECTORS = "puts vectors in front of each text, which the length limit, the pooling and the head do not reckon with"
_WEIGHTS = "computes with the weights of the base when it is made, so that it cannot be checked before they are loaded"
# The types of PEFT that are refused, and why.
REFUSED: Mapping[str, str] = {
    "LORA": "has a method of its own here; type adapter=lora, or adapter=dora",
    "IA3": "has a method of its own here; type adapter=ia3",
    "ADALORA": "moves ranks between layers at each step, by a call that the Trainer does not make; type adapter=lora "
    "adapter.init=eva",
    "ADAMSS": f"{_WEIGHTS}; type adapter=lora",
    "ADAPTION_PROMPT": f"{_VECTORS}; type adapter=lora",
    "CARTRIDGE": f"{_VECTORS}; type adapter=lora",
    "CPT": f"{_VECTORS}; type adapter=lora",
    "FROD": f"{_WEIGHTS}; type adapter=lora",
    "MULTITASK_PROMPT_TUNING": f"{_ROWS_OF_TASKS}; type adapter=lora",
    "POLY": f"{_ROWS_OF_TASKS}; type adapter=lora",
    "PREFIX_TUNING": f"{_VECTORS}; type adapter=lora",
    "PROMPT_TUNING": f"{_VECTORS}; type adapter=lora",
    "P_TUNING": f"{_VECTORS}; type adapter=lora",
    "SHADOW": "hands values from layer to layer beside the hidden states, which the classes of classifiers do not take; type "
    "adapter=lora",
    "SHIRA": f"{_WEIGHTS}; type adapter=lora",
    "XLORA": "mixes adapters that are trained already; type adapter=lora",
}
_SET_HERE = {
    "peft_type": TYPE,
    "task_type": "the task",
    "modules_to_save": "the head",
    "target_modules": "adapter.target_modules",
    "inference_mode": "the training",
}
_NOT_LINEAR = ("LN_TUNING", "TRAINABLE_TOKENS")  # they go to norms, and to embeddings


def _upper(name: str) -> str:
    return name.upper()


class PeftMethodConfig(AdapterConfig):
    label: ClassVar[str] = "PEFT"
    trained: ClassVar[str] = "the weights of a PEFT adapter"

    method: Literal["peft"] = "peft"
    peft_type: Annotated[str, AfterValidator(_upper)] = Field("", description="a PeftType of PEFT, such as VERA")
    options: dict[str, Any] | None = Field(None, description="arguments of its PeftConfig, such as {r: 64}")
    target_modules: Names | Literal["all-linear"] | None = Field(
        None,
        description="module name endings; null takes the attention layers that LoRA goes to, or the norms for LN_TUNING",
    )

    def rules(self) -> Iterator[tuple[str, str]]:
        if not self.peft_type:
            yield "peft_type", "must be given: a type of PEFT, such as VERA, LOHA or BOFT (docs/adapters.md lists them)"
        elif self.peft_type in REFUSED:
            yield "peft_type", f"is {self.peft_type}, which {REFUSED[self.peft_type]}"
        for name in self.options or {}:
            if name in _SET_HERE:
                yield f"options.{name}", f"is set, but follows from {_SET_HERE[name]}; leave it out"

    def peft_config(self, model: PreTrainedModel, head: tuple[str, ...]) -> PeftConfig:
        from dataclasses import fields

        from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING as CLASSES
        from peft.utils import PeftType

        types = {kind.value: CLASSES[kind] for kind in PeftType if kind in CLASSES and kind.value not in REFUSED}
        if self.peft_type not in types:
            known = sorted(types)
            rule = f"is {self.peft_type}, but PEFT has no such type{closest(self.peft_type, known)}"
            raise UserError.of(TYPE, f"{rule}; there are: {', '.join(known)}")
        self._check_quantization()
        kind: type[PeftConfig] = types[self.peft_type]
        names = [field.name for field in fields(kind)]
        options = dict(self.options or {})
        for name in options:
            if name not in names:
                shown = [each for each in names if each not in _SET_HERE and each not in _COMMON]
                rule = f"is no option of {self.peft_type}{closest(name, shown)}; there are: {', '.join(shown)}"
                raise UserError.of(f"{OPTIONS}.{name}", rule)
        if "target_modules" in names:
            options |= self._targets(model, head, transposable="fan_in_fan_out" in names)
        try:
            return kind(**options)
        except (TypeError, ValueError) as error:
            raise UserError.of(OPTIONS, f"does not suit {self.peft_type}: {first_line(error)}") from None

    def _targets(self, model: PreTrainedModel, head: tuple[str, ...], *, transposable: bool) -> dict[str, Any]:
        """Return the options that say which layers are adapted. Raises UserError for linear layers
        that the model lacks."""
        from sweep.model.adapters.lora import default_targets

        if self.peft_type not in _NOT_LINEAR:
            targets = default_targets(model, head, self.target_modules)
            return {
                "target_modules": targets.modules,
                **({"fan_in_fan_out": targets.transposed} if transposable else {}),
            }
        if self.target_modules is not None:
            return {"target_modules": list(self.target_modules)}
        if self.peft_type != "LN_TUNING":
            return {}
        norms = (name for name, module in model.named_modules() if "norm" in type(module).__name__.lower())
        return {"target_modules": sorted({name.rpartition(".")[2] for name in norms})}

    def unmergeable(self) -> str:
        if self.quantization != "none":
            return f"sweep has not tried to merge {self.peft_type} into a base in 4 bits"
        if self.peft_type == "LILY":
            return "PEFT merges no LILY adapter"
        return ""

    def _check_quantization(self) -> None:
        from importlib.util import find_spec

        if self.quantization != "none" and find_spec(f"peft.tuners.{self.peft_type.lower()}.bnb") is None:
            rule = f"is {self.quantization}, but PEFT has no layers for {self.peft_type} on a base in 4 bits"
            raise UserError.of("adapter.quantization", f"{rule}; use none, or adapter=qlora")


_COMMON = ("auto_mapping", "peft_version", "base_model_name_or_path", "revision", "fan_in_fan_out", "init_weights")
