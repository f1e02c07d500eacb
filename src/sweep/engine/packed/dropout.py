"""Dropout over a pack: each trial's masks are drawn from its own source."""

from __future__ import annotations

from torch import Tensor, nn

from sweep.engine.packed.attention import PackContext
from sweep.engine.packed.noise import Noise, masks


class PackedDropout(nn.Dropout):
    """Stands in for a `Dropout` of the base, on values that are (1, tokens, width)."""

    def __init__(self, probability: float, context: PackContext) -> None:
        super().__init__(probability)
        self.context = context

    def forward(self, values: Tensor) -> Tensor:
        context: PackContext = self.context
        draws = context.pack_index.draws
        if not self.training or not self.p or draws is None:
            return values
        mask = context.mask(self, lambda number: draws.tokens(number, values.shape[-1], self.p, values.dtype))
        dropped: Tensor = values * mask.view(values.shape)
        return dropped


class OwnDropout(nn.Dropout):
    """Stands in for a `Dropout` of one trial's head; `noise` is set for each step."""

    noise: Noise | None = None

    def forward(self, values: Tensor) -> Tensor:
        if not self.training or not self.p or self.noise is None:
            return values
        return values * masks([self.noise], [values.numel()], [self.p], values.dtype).view(values.shape)


def replace(model: nn.Module, context: PackContext) -> None:
    """Replace every `Dropout` of a base that `context` was attached to by a `PackedDropout`."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                drops = PackedDropout(child.p, context).train(child.training)
                context.replace(child, drops)
                setattr(module, name, drops)


def replace_own(model: nn.Module) -> list[OwnDropout]:
    """Replace every `Dropout` of a trial's head by an `OwnDropout`. Return them in the model's
    order."""
    found = []
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                own = OwnDropout(child.p).train(child.training)
                setattr(module, name, own)
                found.append(own)
    return found
