"""The cost of a training: time, memory, rows and devices."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sweep.config.measured import limit_name
from sweep.records.device_time import DeviceTime, added, with_present
from sweep.records.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of a training.

    Seconds are wall time; each of the trials that ran at once has a share, so that the sum is the
    elapsed time. `samples` counts training rows, `eval_samples` evaluated rows; `flops` is the
    Trainer's estimate; memory is in bytes; `device` is the name of the accelerator, or cpu.

    `device`, `host` and `worker` are those where the training ended; `devices` divides `seconds`
    among all that trained it, and is empty in older records. `measured` holds what is
    measured for `study.limits` alone, by the limit's name.
    """

    seconds: float = 0.0
    train_seconds: float = 0.0
    eval_seconds: float = 0.0
    steps: int = 0
    samples: int = 0
    flops: float = 0.0
    train_loss: float | None = None
    peak_host_bytes: int = 0
    peak_device_bytes: int = 0
    eval_samples: int = 0
    device: str = ""
    engine: str = ""  # trainer, packed, or frozen for a head on cached features
    trained_parameters: int = 0  # weights that were trained; 0 where that was not recorded
    host: str = ""  # of the worker; empty where the study's own process trained
    worker: str = ""  # its name
    devices: tuple[DeviceTime, ...] = ()
    measured: Mapping[str, float] = field(default_factory=dict)

    @property
    def on_devices(self) -> tuple[DeviceTime, ...]:
        """Return the seconds on each device; all on the last one where that alone was recorded."""
        return self.devices or (DeviceTime(self.device, self.host, self.worker, self.seconds),)

    @property
    def account(self) -> dict[str, float | int | str]:
        """Return the measured costs by name, `cost/…`."""
        found: dict[str, float | int | str | None] = {
            "seconds": self.seconds,
            "train_seconds": self.train_seconds,
            "eval_seconds": self.eval_seconds,
            "samples_per_second": self.samples_per_second,
            "steps_per_second": self.steps_per_second,
            "eval_samples_per_second": self.eval_samples_per_second,
            "flops": self.flops,
            "peak_host_bytes": self.peak_host_bytes,
            "peak_device_bytes": self.peak_device_bytes,
            "device": self.device or None,
            "host": self.host or None,
            "worker": self.worker or None,
            "engine": self.engine or None,
            "device_hours": self.device_hours,
        }
        return {f"cost/{name}": value for name, value in found.items() if value is not None}

    def value(self, name: str) -> float:
        """Return a measured value by its name in `sweep.config.measured`; NaN where it was not
        measured. One that was measured for a limit is the trial's own, also in a pack."""
        if (own := self.measured.get(limit_name(name))) is not None:
            return own
        group, _, key = name.partition("/")
        return float(self.trained_parameters if group == "parameters" else getattr(self, key, math.nan))

    @property
    def samples_per_second(self) -> float | None:
        """Return the training rows per second of training; None if nothing was trained."""
        return self.samples / self.train_seconds if self.train_seconds > 0 else None

    @property
    def steps_per_second(self) -> float | None:
        """Return the optimizer steps per second of training; None if nothing was trained."""
        return self.steps / self.train_seconds if self.train_seconds > 0 else None

    @property
    def eval_samples_per_second(self) -> float | None:
        """Return the rows per second of evaluation; None if nothing was evaluated."""
        return self.eval_samples / self.eval_seconds if self.eval_seconds > 0 else None

    @property
    def device_hours(self) -> float:
        """Return the hours of one device that the trial used, or its share of them."""
        return self.seconds / 3600


def total(costs: Sequence[Cost]) -> Cost:
    """Return the sum of costs: the highest peaks, all devices and engines, no training loss."""
    return Cost(
        seconds=math.fsum(one.seconds for one in costs),
        train_seconds=math.fsum(one.train_seconds for one in costs),
        eval_seconds=math.fsum(one.eval_seconds for one in costs),
        steps=sum(one.steps for one in costs),
        samples=sum(one.samples for one in costs),
        flops=math.fsum(one.flops for one in costs),
        peak_host_bytes=max((one.peak_host_bytes for one in costs), default=0),
        peak_device_bytes=max((one.peak_device_bytes for one in costs), default=0),
        eval_samples=sum(one.eval_samples for one in costs),
        device=_named(one.device for one in costs),
        engine=_named(one.engine for one in costs),
        host=_named(one.host for one in costs),
        worker=_named(one.worker for one in costs),
        devices=added(time for one in costs if one != Cost() for time in one.on_devices),
    )


def unfinished_cost(snapshot: Snapshot | None, place: DeviceTime, seconds: float) -> Cost:
    """Return what is known of the cost of a training that was lost at `place` after so many
    seconds, those of its `snapshot` among them."""
    before = () if snapshot is None else snapshot.devices
    seconds = max(seconds, 0.0 if snapshot is None else snapshot.seconds)
    return Cost(
        seconds=seconds, device=place.device, host=place.host, worker=place.worker,
        devices=with_present(before, place, seconds),
    )  # fmt: skip


def _named(lists: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(name for names in lists for name in names.split(", ") if name))
