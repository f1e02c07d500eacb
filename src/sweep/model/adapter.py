"""The trial's model: its base with an adapter, with the head alone to train, or with every weight
to train."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from peft import PeftModel, TaskType, get_peft_model
from torch import nn
from transformers import PreTrainedModel

from sweep.config.adapter import AdapterConfig
from sweep.config.custom_code import described, is_own
from sweep.config.settings import TrainSettings
from sweep.errors import UserError, first_line
from sweep.model.account import without_words
from sweep.model.architecture import body
from sweep.model.base import META, Base
from sweep.model.head import initialise, seeded, widen
from sweep.model.quiet import quiet


def attach(base: Base, settings: TrainSettings) -> nn.Module:
    """Make `base.model` trainable as `settings.adapter` says, and return it; it is changed in
    place.

    Head and adapter are float32, whatever the base is; where every weight is trained, all have the
    base's type. Raises UserError for values of the adapter that do not suit the model.
    """
    model, adapter = base.model, settings.adapter
    if settings.trainer.gradient_checkpointing:
        with quiet():
            model.gradient_checkpointing_enable({"use_reentrant": False})  # type: ignore[no-untyped-call]
    if adapter.trains != "everything":
        widen(model, base.head)
    with seeded(settings.trainer.seed, model.device):
        initialise(model, base.fresh)
        match adapter.trains:
            case "everything":
                return model.requires_grad_(True)
            case "head":
                return head_only(model, base.head)
            case "adapter":
                return _with_peft(model, adapter, base.head)


def head_only(model: PreTrainedModel, head: tuple[str, ...]) -> nn.Module:
    """Return the model with all but the head frozen; the frozen part is in evaluation mode
    whatever mode the model is in."""
    model.requires_grad_(False)
    for name in head:
        model.get_submodule(name).requires_grad_(True)
    if getattr(model, "is_quantized", False):
        model._hf_peft_config_loaded = True  # the Trainer takes a quantised model only with something added that trains

    trunk = body(model)

    def hold_still(module: nn.Module, _: object) -> None:
        module.get_submodule(trunk).eval()
        for name in head:
            module.get_submodule(name).train(module.training)

    model.register_forward_pre_hook(hold_still)
    return model


@contextmanager
def without_adapter(model: nn.Module) -> Iterator[None]:
    """Switch the adapter off within the context. The first weights of some methods change the
    scores of the base."""
    adapted = without_words(model)
    if not isinstance(adapted, PeftModel):
        yield
        return
    with adapted.disable_adapter():
        yield


def _with_peft(model: PreTrainedModel, adapter: AdapterConfig, head: tuple[str, ...]) -> nn.Module:
    outlined = model.device == META
    try:
        peft_config = adapter.peft_config(model, head)
        peft_config.task_type = TaskType.SEQ_CLS if head else TaskType.CAUSAL_LM
        if hasattr(peft_config, "modules_to_save"):
            peft_config.modules_to_save = list(head) or None
        with quiet():
            made: nn.Module = get_peft_model(model, peft_config, low_cpu_mem_usage=outlined)
    except UserError:
        raise
    except Exception as error:  # PEFT's methods refuse a model in errors of many kinds, and so does a user's own code
        if not outlined:
            raise
        cause = described(error) if is_own(adapter.method) else first_line(error)
        rule = f"is {adapter.method}, which PEFT cannot put on {model.config.model_type}: {cause}"
        raise UserError.of("adapter.method", rule) from error
    return made
