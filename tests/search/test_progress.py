"""The progress of a schedule."""

from __future__ import annotations

import pytest
from transformers import get_scheduler

from sweep.config.names import ScheduleName
from sweep.search.progress import progress


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant_with_warmup"])
@pytest.mark.parametrize("warmup", [0, 7, 60, 100, 150])
def test_it_is_the_share_of_the_learning_rates_of_the_schedule(schedule: ScheduleName, warmup: int) -> None:
    import torch

    total = 100
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    rates = get_scheduler(schedule, optimizer, num_warmup_steps=warmup, num_training_steps=total)
    sums = [0.0]
    for _ in range(total):
        optimizer.step()
        sums.append(sums[-1] + optimizer.param_groups[0]["lr"])
        rates.step()
    for step in range(total + 1):
        expected = sums[step] / sums[-1]
        assert progress(step, total=total, warmup=warmup, schedule=schedule) == pytest.approx(expected, abs=0.03)


def test_a_longer_warmup_is_behind_at_the_same_step() -> None:
    shares = [progress(5, total=100, warmup=warmup, schedule="linear") for warmup in (0, 5, 30)]
    assert shares == sorted(shares, reverse=True) and len(set(shares)) == 3
