"""Autocast of a loaded model: it computes as its study did, without a context of its caller's."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from sweep.config.schema import AutocastType


def compute_under(model: nn.Module, dtype: AutocastType) -> None:
    """Make each forward pass of `model` run under autocast to `dtype`, with logits in float32.

    Hooks do it, so that a copy of the model does the same; a model that is merged or unwrapped
    from it does not.
    """
    autocast = _Autocast(getattr(torch, dtype))
    model.register_forward_pre_hook(autocast.enter)
    model.register_forward_hook(autocast.leave, always_call=True)


class _Autocast:
    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._open: list[torch.autocast] = []

    def __deepcopy__(self, _memo: object) -> _Autocast:
        return _Autocast(self._dtype)

    def enter(self, model: nn.Module, _inputs: Any) -> None:
        context = torch.autocast(next(model.parameters()).device.type, self._dtype)
        context.__enter__()  # type: ignore[no-untyped-call]
        self._open.append(context)

    def leave(self, _model: nn.Module, _inputs: Any, output: Any) -> Any:
        """Return the output with wide logits; None where the forward pass raised an error."""
        self._open.pop().__exit__(None, None, None)
        if output is None:
            return None
        output.logits = output.logits.to(torch.promote_types(output.logits.dtype, torch.float32))
        return output
