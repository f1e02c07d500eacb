"""Rules between a search space and its study."""

from __future__ import annotations

from pathlib import Path

from support.plans import QUICK, faults_of, space_file


def test_a_grid_is_counted_before_it_is_laid_out(tmp_path: Path) -> None:
    space = space_file(
        tmp_path, "optimizer.weight_decay: {low: 0.0, high: 1.0, step: 1.0e-12}\nadapter.r: {choices: [4, 8]}"
    )
    assert "2,000,000,000,002 points" in faults_of(QUICK, space, "study.sampler=grid")["study.sampler"]
