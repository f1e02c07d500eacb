"""The memory that one training is going to need."""

from __future__ import annotations

from dataclasses import dataclass

LOWER = 0.85  # the part of its tensors that a training needs at least (benchmarks/memory_prediction.py)
GAPS = 1.6  # bytes that a process holds for each byte of tensors, where that was not measured
HIGH = 0.2  # the part by which a prediction may be too high (the same benchmark)


@dataclass(frozen=True, slots=True)
class Forecast:
    """The bytes that a training needs: `resident` without it, `fixed` whatever its batches, and
    the larger one of `batch` for a training batch and `evaluation` for one of an evaluation. With
    the gaps that an allocator leaves between its blocks, batches take `gaps` times as many. The
    process holds `process` more as soon as it trains: code that is loaded then, and gaps between
    what does not depend on batches."""

    resident: int
    fixed: int
    batch: int
    evaluation: int = 0
    gaps: float = 1.0
    process: int = 0

    @property
    def bytes(self) -> int:
        return self.together(1)

    @property
    def least(self) -> int:
        """Return the bytes that the training needs at least, as far as predictions are known to be
        wrong: those of its tensors and of the base, without gaps."""
        return int(LOWER * (self.resident + self.tensors))

    @property
    def own(self) -> int:
        """Return the bytes that the training takes beside the base."""
        return self.fixed + int(self.gaps * max(self.batch, self.evaluation))

    def together(self, trials: int) -> int:
        """Return the bytes that so many trainings like this one need on one base."""
        return self.resident + self.process + trials * self.own

    @property
    def tensors(self) -> int:
        return self.fixed + max(self.batch, self.evaluation)


@dataclass(frozen=True, slots=True)
class Peak:
    """The predicted bytes of a peak that `study.limits` may be about, by the `name` of the limit.
    `least` are those that it has even if the prediction is too high."""

    name: str
    bytes: int

    @property
    def least(self) -> float:
        return self.bytes / (1 + HIGH)
