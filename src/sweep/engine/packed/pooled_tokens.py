"""Linear layers behind the last attention of a base, computed only for the tokens that its pooling
reads.

Behind the last attention nothing mixes tokens any more. With a first or a last token, this saves a
seventh of the work of a small model.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from sweep.engine.packed.attention import PackContext
from sweep.engine.packed.pack_index import PackIndex

Chosen = Callable[[PackIndex], Tensor]


class Narrowed(nn.Module):
    """A linear layer that returns zeros for tokens other than the `chosen`, (rows,)."""

    def __init__(self, linear: nn.Module, context: PackContext, chosen: Chosen) -> None:
        super().__init__()
        self.linear, self.context, self.chosen = linear, context, chosen
        context.replace(linear, self)

    def forward(self, values: Tensor) -> Tensor:
        """Return the layer's output, (1, tokens, in) to (1, tokens, out)."""
        positions = self.chosen(self.context.pack_index)
        found: Tensor = self.linear(values.index_select(1, positions))
        return found.new_zeros(1, values.shape[1], found.shape[-1]).index_copy_(1, positions, found)


@contextmanager
def behind_attention(model: nn.Module, context: PackContext) -> Iterator[list[nn.Module]]:
    """Yield a list that is filled when the context ends, with the linear layers that ran once for
    each token after the last attention; one pass is run meanwhile. A module that mixed tokens
    without attention would have mixed rows too, and such a base is not packed."""
    ran: defaultdict[nn.Module, list[int]] = defaultdict(list)
    found: list[nn.Module] = []

    def note(module: nn.Module, given: tuple[Tensor, ...]) -> None:
        by_token = given[0].ndim == 3 and given[0].shape[:2] == (1, context.pack_index.tokens)
        ran[module].append(context.attended if by_token else -1)

    linears = [module for module in model.modules() if isinstance(module, nn.Linear | Conv1D)]
    hooks = [module.register_forward_pre_hook(note) for module in linears]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
    found += [module for module, when in ran.items() if when == [context.attended]]


def replace(model: nn.Module, linears: list[nn.Module], context: PackContext, chosen: Chosen) -> None:
    """Replace each of these linear layers of a base that `context` was attached to by a
    `Narrowed`."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if child in linears:
                setattr(module, name, Narrowed(child, context, chosen))
