"""Products of each trial's tokens with that trial's matrix, grouped and batched."""

import numpy as np
import pytest
import torch

from sweep.engine.packed import products
from sweep.engine.packed.batch import PackedBatch, Row

LENGTHS = ([3, 4], [1], [6])


@pytest.fixture
def batch() -> PackedBatch:
    return PackedBatch(
        [[Row(np.zeros(size, dtype=np.int64)) for size in trial] for trial in LENGTHS], torch.device("cpu")
    )


@pytest.fixture(params=[torch.float32, torch.float64], ids=["grouped", "batched"])
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    return request.param


@pytest.mark.parametrize("width", [5, 8])
def test_each(batch: PackedBatch, dtype: torch.dtype, width: int) -> None:
    values, matrices = torch.randn(14, width, dtype=dtype), torch.randn(3, width, 8, dtype=dtype)
    wanted = [part @ matrix for part, matrix in zip(values.split([7, 1, 6]), matrices, strict=True)]
    torch.testing.assert_close(products.each(values, matrices, batch), torch.cat(wanted))


@pytest.mark.parametrize("width", [5, 8])
def test_outer(batch: PackedBatch, dtype: torch.dtype, width: int) -> None:
    left, right = torch.randn(14, 8, dtype=dtype), torch.randn(14, width, dtype=dtype)
    wanted = [a.t() @ b for a, b in zip(left.split([7, 1, 6]), right.split([7, 1, 6]), strict=True)]
    torch.testing.assert_close(products.outer(left, right, batch), torch.stack(wanted))


def test_summed(batch: PackedBatch, dtype: torch.dtype) -> None:
    values = torch.randn(14, 5, dtype=dtype)
    wanted = [part.sum(dim=0) for part in values.split([7, 1, 6])]
    torch.testing.assert_close(batch.summed(values), torch.stack(wanted))


def test_a_trial_without_numbers_spoils_no_other(batch: PackedBatch, dtype: torch.dtype) -> None:
    values, other = torch.randn(14, 8, dtype=dtype), torch.randn(14, 4, dtype=dtype)
    values[:7] = other[:7] = torch.nan
    assert products.each(values, torch.randn(3, 8, 4, dtype=dtype), batch)[7:].isfinite().all()
    assert products.outer(values, other, batch)[1:].isfinite().all()
    assert batch.summed(values)[1:].isfinite().all()
