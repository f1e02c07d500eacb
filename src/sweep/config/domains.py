"""The values that a searched key can have: a range of numbers, or choices."""

from __future__ import annotations

from dataclasses import dataclass

from sweep.config.schema import Scalar

Number = int | float


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from `low` to `high`; whole numbers if `low`, `high` and `step` are."""

    low: Number
    high: Number
    log: bool = False
    step: Number | None = None

    @property
    def whole(self) -> bool:
        return all(isinstance(value, int) for value in (self.low, self.high, self.step or 0))

    def ends(self) -> tuple[Scalar, ...]:
        """Return both ends as the sampler gives them, and for fractions one step above `low`: with
        a fractional step that value is a fraction where both ends are whole numbers, and shows
        whether the key takes fractions."""
        if self.whole:
            return (self.low, self.high)
        inner = () if self.step is None else (self.low + self.step,)
        return (float(self.low), *inner, float(self.high))

    def contains(self, value: Scalar) -> bool:
        """Return whether the sampler can give this value."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return False
        if self.whole and not isinstance(value, int):
            return False
        steps = (value - self.low) / self.step if self.step else 0.0
        return abs(steps - round(steps)) < 1e-8

    def count(self) -> int | None:
        """Return the number of values, or None where they have no step."""
        step = self._grid_step
        return None if step is None else int((self.high - self.low) / step + 1e-9) + 1

    def grid(self) -> tuple[Scalar, ...] | None:
        """Return every value, or None where there are infinitely many.

        Check `count` first: there may be too many.
        """
        step, count = self._grid_step, self.count()
        if step is None or count is None:
            return None
        return tuple(self.low + index * step for index in range(count))

    @property
    def _grid_step(self) -> Number | None:
        return self.step or (1 if self.whole and not self.log else None)

    def __str__(self) -> str:
        notes = [text for text in ("log" if self.log else "", f"step {self.step}" if self.step else "") if text]
        return f"{self.low} to {self.high}" + (f" ({', '.join(notes)})" if notes else "")


@dataclass(frozen=True, slots=True)
class Choices:
    """A list of values of which the sampler gives one."""

    values: tuple[Scalar, ...]

    def ends(self) -> tuple[Scalar, ...]:
        return self.values

    def contains(self, value: Scalar) -> bool:
        return any(value == known and type(value) is type(known) for known in self.values)

    def count(self) -> int:
        return len(self.values)

    def grid(self) -> tuple[Scalar, ...]:
        return self.values

    def __str__(self) -> str:
        return "one of " + ", ".join(map(str, self.values))
