"""Dropout masks: each trial has its own, with the right mean."""

import pytest
import torch

from sweep.engine.packed.noise import Noise, masks

CPU = torch.device("cpu")
COUNT = 200_000


def mask(*noise: Noise, probability: float = 0.1, count: int = COUNT) -> torch.Tensor:
    return masks(noise, [count] * len(noise), [probability] * len(noise), torch.float32)


@pytest.mark.parametrize("probability", [0.05, 0.1, 0.5])
def test_a_mask_drops_its_share_and_keeps_the_mean(probability: float) -> None:
    drawn = mask(Noise(0, 0, CPU), probability=probability)
    assert (drawn == 0).float().mean().item() == pytest.approx(probability, abs=0.005)
    assert drawn.mean().item() == pytest.approx(1.0, abs=0.01)
    assert len(drawn.unique()) == 2


def test_a_seed_and_a_step_give_the_same_mask_and_others_another() -> None:
    first = mask(Noise(3, 7, CPU))
    assert torch.equal(first, mask(Noise(3, 7, CPU)))
    assert not torch.equal(first, mask(Noise(4, 7, CPU)))
    assert not torch.equal(first, mask(Noise(3, 8, CPU)))


def test_neighbours_change_nothing() -> None:
    beside = mask(Noise(1, 0, CPU), Noise(2, 0, CPU), count=1001)
    assert torch.equal(beside[1001:], mask(Noise(2, 0, CPU), count=1001))
    other = masks([Noise(1, 0, CPU), Noise(2, 0, CPU)], [1001, 1001], [0.0, 0.1], torch.float32)
    assert torch.equal(other[1001:], beside[1001:])
    assert torch.equal(other[:1001], torch.ones(1001))


def test_one_source_draws_anew_for_each_layer() -> None:
    noise = Noise(0, 0, CPU)
    assert not torch.equal(mask(noise), mask(noise))


def test_a_rate_of_nearly_one_keeps_something() -> None:
    assert torch.isfinite(mask(Noise(0, 0, CPU), probability=0.999999)).all()
