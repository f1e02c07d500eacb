"""LoRA: low-rank matrices beside frozen weights (Hu et al. 2021, arXiv 2106.09685).

The base may be held in 4 bits: `quantization: nf4` is QLoRA (Dettmers et al. 2023, arXiv
2305.14314).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from sweep.config.adapter import WHOLE_RULE, AdapterConfig, Kernel
from sweep.config.section import Names, Probability, Rank
from sweep.errors import Fault, UserError, closest

if TYPE_CHECKING:
    from peft import LoraConfig as PeftLoraConfig
    from peft import PeftModel
    from torch import Tensor
    from transformers import PreTrainedModel

    from sweep.model.targets import Targets

# Attention layers of architectures that PEFT's table does not name, in the order of the search.
LAYOUTS = (
    ("q_proj", "v_proj"),
    ("query", "value"),
    ("q_lin", "v_lin"),
    ("query_proj", "value_proj"),
    ("query_key_value",),
    ("qkv_proj",),
    ("Wqkv",),
    ("c_attn",),
    ("q", "v"),
)
INITS = ("default", "gaussian", "orthogonal", "eva")
_REWRITE_THE_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga", "mica")
_LAYER = re.compile(r".*\.[^.]*\.(\d+)\.")  # as PEFT finds the number of a layer in its name


def _known_init(name: str) -> str:
    if name in INITS:
        return name
    if name.split("_niter_")[0] in _REWRITE_THE_BASE:
        rule = "starts from changed weights of the base, and all trials share one base that stays as it is"
        rule = (
            f"is {name}, which {rule}; use eva, which starts from the rows as well, or gaussian, orthogonal or default"
        )
    else:
        rule = f"is {name}, but must be one of: {', '.join(INITS)}{closest(name, INITS)}"
    raise PydanticCustomError(WHOLE_RULE, "{rule}", {"rule": rule})


Alpha = Annotated[float, Field(gt=0, le=10**6)]
Layers = Annotated[tuple[Annotated[int, Field(ge=0, le=10**6)], ...], Field(min_length=1)]


class LoraSettings(AdapterConfig):
    """The keys of LoRA and of the methods that are built on its matrices."""

    trained: ClassVar[str] = "LoRA matrices"
    merges_quantized: ClassVar[bool] = True

    r: Rank = 8
    lora_alpha: Alpha = 16.0
    lora_dropout: Probability = 0.05
    use_rslora: bool = False
    target_modules: Names | Literal["all-linear"] | None = Field(
        None, description="module name endings; null takes PEFT's default for the architecture"
    )
    init: Annotated[str, AfterValidator(_known_init)] = Field(
        "default", description="first weights: default, gaussian, orthogonal, or eva, which reads training rows"
    )
    rank_pattern: dict[str, Rank] | None = Field(None, description="ranks of single layers, by the end of their name")
    alpha_pattern: dict[str, Alpha] | None = Field(None, description="the same for lora_alpha")
    layers_to_transform: Layers | None = Field(None, description="numbers of the layers that are adapted; null is all")
    exclude_modules: Names | None = Field(None, description="endings of target_modules that are left out")
    lr_ratio: Annotated[float, Field(gt=0, le=10**4)] | None = Field(
        None, description="LoRA+: the learning rate of the B matrices is this multiple of optimizer.learning_rate"
    )

    def rules(self) -> Iterator[tuple[str, str]]:
        if self.init == "orthogonal":
            ranks = {"r": self.r, **{f"rank_pattern.{name}": rank for name, rank in (self.rank_pattern or {}).items()}}
            for key, rank in ranks.items():
                if rank % 2:
                    yield key, f"is {rank}, but adapter.init is orthogonal, which needs an even rank; use {rank + 1}"
        if self.init == "eva" and self.rank_pattern is not None:
            yield (
                "rank_pattern",
                "is set, but adapter.init is eva, which finds the same number of directions for layers with the same "
                "input; type adapter.rank_pattern=null, or adapter.init=default",
            )

    def peft_config(self, model: PreTrainedModel, head: tuple[str, ...]) -> PeftLoraConfig:
        from peft import EvaConfig, LoraConfig

        targets = self.targets(model, head)
        adapted = self._adapted(model, targets)
        named = self.layers_to_transform is None or targets.modules != "all-linear"
        options: dict[str, Any] = {
            "r": self.r,
            "lora_alpha": self.lora_alpha,
            "lora_dropout": self.lora_dropout,
            "use_rslora": self.use_rslora,
            "fan_in_fan_out": targets.transposed,
            "target_modules": targets.modules if named else list(adapted),  # PEFT numbers no layers of all-linear
        }
        if self.init != "default":
            options["init_lora_weights"] = self.init
        if self.init == "eva":
            options["eva_config"] = EvaConfig(rho=1.0)  # every layer keeps the rank that the config gives it
        if self.rank_pattern:
            options["rank_pattern"] = dict(self.rank_pattern)
        if self.alpha_pattern:
            options["alpha_pattern"] = dict(self.alpha_pattern)
        if self.layers_to_transform is not None and named:
            options["layers_to_transform"] = list(self.layers_to_transform)
        if self.exclude_modules is not None:
            options["exclude_modules"] = list(self.exclude_modules)
        return LoraConfig(**options)

    def targets(self, model: PreTrainedModel, head: tuple[str, ...]) -> Targets:
        """Return the layers that `target_modules` says. Raises UserError for layers that the model
        lacks."""
        return default_targets(model, head, self.target_modules)

    def learning_rate_factors(self) -> Mapping[str, float]:
        """Return the factor of LoRA+ (Hayou et al. 2024, arXiv 2402.12354) for the B matrices."""
        return {} if self.lr_ratio is None else {".lora_B.": self.lr_ratio}

    @property
    def reads_rows(self) -> bool:
        return self.init == "eva"

    def initialise(self, model: PeftModel, batches: Iterable[Mapping[str, Tensor]]) -> None:
        """Set each A matrix to the first right singular vectors of what its layer reads (EVA,
        Paischer et al. 2024, arXiv 2410.07170). B matrices are zero, so that the model scores as
        its base does."""
        from peft import initialize_lora_eva_weights

        initialize_lora_eva_weights(model, batches, show_progress_bar=False)

    def _adapted(self, model: PreTrainedModel, targets: Targets) -> tuple[str, ...]:
        """Return the full names of the layers that get matrices. Raises UserError for values that
        name none of them."""
        from sweep.model.targets import matches

        faults: list[Fault] = []
        adapted = targets.matched
        if self.layers_to_transform is not None:
            numbered = {name: int(found[1]) for name in adapted if (found := _LAYER.match(name))}
            faults += _unknown_layers(self.layers_to_transform, sorted(set(numbered.values())))
            adapted = tuple(name for name in adapted if numbered.get(name) in self.layers_to_transform)
        if self.exclude_modules is not None:
            ends = ", ".join(sorted({name.rpartition(".")[2] for name in targets.matched}))
            faults += [
                Fault("adapter.exclude_modules", f"holds {name}, but no target module ends so; they end with {ends}")
                for name in self.exclude_modules
                if not any(matches([name], layer) for layer in targets.matched)
            ]
            adapted = tuple(name for name in adapted if not matches(self.exclude_modules, name))
        if not adapted:
            raise UserError(faults or [Fault("adapter.exclude_modules", "leaves no layer to adapt")])
        for key, pattern in (("rank_pattern", self.rank_pattern), ("alpha_pattern", self.alpha_pattern)):
            faults += _unknown_patterns(f"adapter.{key}", pattern or {}, adapted)
        if self.init == "eva":
            faults += _too_many_directions(self.r, {name: _inputs(model, name) for name in adapted})
        if faults:
            raise UserError(faults)
        return adapted


class LoraConfig(LoraSettings):
    label: ClassVar[str] = "LoRA"
    packed_kernel: ClassVar[Kernel | None] = "lora"

    method: Literal["lora"] = "lora"


def default_targets(model: PreTrainedModel, head: tuple[str, ...], named: Sequence[str] | str | None) -> Targets:
    """Return the layers that `named` says, or with None the attention layers that LoRA goes to by
    default. Raises UserError."""
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as TARGETS

    from sweep.model.targets import find_targets

    return find_targets(model, head, named, table=TARGETS, layouts=LAYOUTS)


def _unknown_layers(asked: Sequence[int], there: Sequence[int]) -> Iterator[Fault]:
    span = f"{there[0]} to {there[-1]}" if there else "not numbered"
    for number in asked:
        if number not in there:
            yield Fault("adapter.layers_to_transform", f"holds {number}, but the layers with target modules are {span}")


def _unknown_patterns(key: str, pattern: Mapping[str, object], adapted: Sequence[str]) -> Iterator[Fault]:
    for name in pattern:
        try:
            found = any(re.match(rf"(.*\.)?({name})$", layer) for layer in adapted)
        except re.error as error:
            yield Fault(key, f"holds {name}, which is no regular expression: {error}")
            continue
        if not found:
            yield Fault(
                key, f"holds {name}, but no adapted layer ends so; the first is {adapted[0] if adapted else 'none'}"
            )


def _inputs(model: PreTrainedModel, name: str) -> int:
    """Return the width of what a layer reads; GPT-2's layers call it `nx`."""
    layer = model.get_submodule(name)
    return int(getattr(layer, "in_features", None) or getattr(layer, "nx"))  # noqa: B009


def _too_many_directions(rank: int, widths: Mapping[str, int]) -> Iterator[Fault]:
    narrow = min(widths.values(), default=rank)
    if rank > narrow:
        rule = f"is {rank}, but adapter.init is eva, and a layer reads vectors of {narrow} values, which have no more directions"
        yield Fault("adapter.r", f"{rule}; use at most {narrow}")
