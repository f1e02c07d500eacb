"""Behind the last attention of a base nothing mixes tokens any more, so that products are needed only for the tokens that its
pooling reads: of a small model with a first token or a last one, a seventh of the work."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from sweep.engine.packed.attention import PackContext
from sweep.engine.packed.batch import PackIndex

Chosen = Callable[[PackIndex], Tensor]


class Narrowed(nn.Module):
    """Gives zeros for tokens that are not among the `chosen`, (rows,)."""

    def __init__(self, linear: nn.Module, line: PackContext, chosen: Chosen) -> None:
        super().__init__()
        self.linear, self.line, self.chosen = linear, line, chosen
        line.replace(linear, self)

    def forward(self, values: Tensor) -> Tensor:
        """(1, tokens, in) → (1, tokens, out)"""
        places = self.chosen(self.line.layout)
        found: Tensor = self.linear(values.index_select(1, places))
        return found.new_zeros(1, values.shape[1], found.shape[-1]).index_copy_(1, places, found)


@contextmanager
def behind_attention(model: nn.Module, line: PackContext) -> Iterator[list[nn.Module]]:
    """While a line goes through a base for the first time. Filled with those linear layers that ran once for each token, after the
    last attention. What mixed tokens without an attention would have mixed rows too, and a base that does is not packed."""
    ran: defaultdict[nn.Module, list[int]] = defaultdict(list)
    found: list[nn.Module] = []

    def note(module: nn.Module, given: tuple[Tensor, ...]) -> None:
        by_token = given[0].ndim == 3 and given[0].shape[:2] == (1, line.layout.tokens)
        ran[module].append(line.attended if by_token else -1)

    linears = [module for module in model.modules() if isinstance(module, nn.Linear | Conv1D)]
    hooks = [module.register_forward_pre_hook(note) for module in linears]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
    found += [module for module, when in ran.items() if when == [line.attended]]


def replace(model: nn.Module, linears: list[nn.Module], line: PackContext, chosen: Chosen) -> None:
    """Each of the linear layers of a base that `line` was put on becomes `Narrowed`."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if child in linears:
                setattr(module, name, Narrowed(child, line, chosen))
