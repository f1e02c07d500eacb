"""Dropout over a pack, each trial's values from its own source."""

from __future__ import annotations

from torch import Tensor, nn

from sweep.engine.packed.attention import PackContext
from sweep.engine.packed.noise import Noise, masks


class LineDropout(nn.Dropout):
    """Stands in for a `Dropout` of the base, on values that are (1, tokens, width)."""

    def __init__(self, probability: float, line: PackContext) -> None:
        super().__init__(probability)
        self.line = line

    def forward(self, values: Tensor) -> Tensor:
        line: PackContext = self.line
        draws = line.layout.draws
        if not self.training or not self.p or draws is None:
            return values
        mask = line.mask(self, lambda place: draws.tokens(place, values.shape[-1], self.p, values.dtype))
        dropped: Tensor = values * mask.view(values.shape)
        return dropped


class OwnDropout(nn.Dropout):
    """Stands in for a `Dropout` of one trial's head; `noise` is set for each step."""

    noise: Noise | None = None

    def forward(self, values: Tensor) -> Tensor:
        if not self.training or not self.p or self.noise is None:
            return values
        return values * masks([self.noise], [values.numel()], [self.p], values.dtype).view(values.shape)


def replace(model: nn.Module, line: PackContext) -> None:
    """Every `Dropout` of a base that `line` was put on becomes a `LineDropout`."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                drops = LineDropout(child.p, line).train(child.training)
                line.replace(child, drops)
                setattr(module, name, drops)


def replace_own(model: nn.Module) -> list[OwnDropout]:
    """Every `Dropout` of a trial's head becomes an `OwnDropout`; they are returned in the model's order."""
    found = []
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                own = OwnDropout(child.p).train(child.training)
                setattr(module, name, own)
                found.append(own)
    return found
