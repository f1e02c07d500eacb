"""Forward passes and training steps on a fixed batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

TEXTS = ["please top up my card", "how do i change the pin of my new card", "fee"]
LABELS = [0, 1, 2]


def batch(tokenizer: Any, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    rows = tokenizer(TEXTS, return_tensors="pt", padding=True)
    return {name: tensor.to(device) for name, tensor in {**rows, "labels": torch.tensor(LABELS)}.items()}


def logits(model: nn.Module, tokenizer: Any) -> Tensor:
    model.eval()
    with torch.no_grad():
        return model(**batch(tokenizer, _place(model))).logits


def first_loss(model: nn.Module, tokenizer: Any) -> Tensor:
    """Return the loss of the first batch in training mode, dropout included."""
    model.train()
    torch.manual_seed(1)
    return model(**batch(tokenizer, _place(model))).loss


def _place(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def train(model: nn.Module, tokenizer: Any, steps: int = 2) -> None:
    """Evaluates in between, as a trial does."""
    optimizer = torch.optim.SGD([weight for weight in model.parameters() if weight.requires_grad], lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        first_loss(model, tokenizer).backward()
        optimizer.step()
        logits(model, tokenizer)


def tensors(model: nn.Module) -> dict[str, Tensor]:
    """A copy of every weight and buffer, as stored."""
    named = [*model.named_parameters(), *model.named_buffers()]
    return {name: tensor.detach().clone() for name, tensor in named}


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    different = [
        name for name in one if one[name].dtype != other[name].dtype or not torch.equal(one[name], other[name])
    ]
    assert not different
