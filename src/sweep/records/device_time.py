"""The seconds of a training on each device that trained it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class DeviceTime:
    """The seconds of `runs` trainings on one device.

    `device` is the name of the accelerator, or cpu. `host` and `worker` are empty where the
    study's own process trained.
    """

    device: str = ""
    host: str = ""
    worker: str = ""
    seconds: float = 0.0
    runs: int = 1

    @property
    def place(self) -> tuple[str, str, str]:
        """Return worker, host and device."""
        return self.worker, self.host, self.device

    @property
    def device_hours(self) -> float:
        return self.seconds / 3600


def with_present(before: Iterable[DeviceTime], place: DeviceTime, total: float) -> tuple[DeviceTime, ...]:
    """Return the times of a training that took `total` seconds: `before` are those up to its last
    snapshot, and what is left was spent at `place`."""
    before = tuple(before)
    left = max(total - sum(one.seconds for one in before), 0.0)
    present = [replace(place, seconds=left)] if left or not before else []
    return added([*before, *present], one_training=True)


def added(times: Iterable[DeviceTime], *, one_training: bool = False) -> tuple[DeviceTime, ...]:
    """Return the sums by place, in the order of their first times. The times of `one_training`
    count as one at each place."""
    sums: dict[tuple[str, str, str], DeviceTime] = {}
    for one in times:
        known = sums.get(one.place)
        if known is None:
            sums[one.place] = one
            continue
        runs = 1 if one_training else known.runs + one.runs
        sums[one.place] = replace(known, seconds=known.seconds + one.seconds, runs=runs)
    return tuple(sums.values())
