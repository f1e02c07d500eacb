"""The most bytes that tensors take at once."""

from __future__ import annotations

import torch

from sweep.engine import memory
from sweep.engine.host_tensors import HostTensors

KIB = 1024
CPU = torch.device("cpu")


def square() -> torch.Tensor:
    return torch.zeros(16, 16)  # a KiB


def test_what_lives_at_once_counts_once() -> None:
    before = square()
    with HostTensors() as seen:
        first = before + 1
        view = first.view(-1)
        first += 1
        del first
        second = view + 1
        del view, second
        before.add_(1)
        third = square()
    assert seen.peak == 2 * KIB
    del third


def test_a_backward_pass_counts_its_activations_and_gradients() -> None:
    weight = square().requires_grad_()
    with memory.allocations(CPU) as found:
        (weight * weight).exp().sum().backward()
    assert weight.grad is not None
    assert 3 * KIB <= found.tensors <= 6 * KIB


def test_what_the_process_holds_is_measured_beside_its_tensors() -> None:
    with memory.allocations(CPU) as found:
        kept = torch.ones(2**23)  # 32 MiB
    assert found.tensors == 2**25 and (not found.held or 2**25 <= found.held < 2**26)
    with memory.allocations(CPU, count=False) as again:
        more = torch.ones(2**23)
    assert again.tensors == 0 and (not again.held or 2**25 <= again.held < 2**26) and again.before > found.before
    del kept, more
