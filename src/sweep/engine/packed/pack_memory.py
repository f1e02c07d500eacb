"""The part of a pack's memory that is one trial's own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch

from sweep.config.limits import DEVICE_BYTES
from sweep.engine import memory
from sweep.engine.limit_watch import peak_of
from sweep.engine.packed.slot import Slot


@contextmanager
def measured_apart(slots: Sequence[Slot], device: torch.device) -> Iterator[None]:
    """Measure the peak of each trial in a training step of a pack, where `study.limits` names it.

    It is the peak of the process without what the other trials keep between steps (`Slot.bytes`),
    and without their part of what the step takes, by tokens: about what the trial would take
    alone, with the base. Evaluations, which all trials make one part after the other, are left
    out. The folds of a trial count together.
    """
    names = tuple(dict.fromkeys(name for slot in slots for name in slot.watch.peaks))
    if not names:
        yield
        return
    before = {name: peak_of(name, device) for name in names}
    memory.reset_peaks(device)
    held = {name: peak_of(name, device) for name in names}
    yield
    tokens = _by_trial((slot, slot.batch_tokens if slot.pending else 0) for slot in slots)
    for name in names:
        peak = peak_of(name, device)
        kept = (name == DEVICE_BYTES) == (device.type == "cuda")  # the trials' own memory is on their device
        own = _by_trial((slot, slot.bytes if kept else 0) for slot in slots)
        for slot in slots:
            others = [key for key in own if key != slot.plan.key]
            taken = (peak - held[name]) * sum(tokens[key] for key in others) / max(sum(tokens.values()), 1)
            slot.watch.take_peak(name, peak - sum(own[key] for key in others) - taken)
            slot.watch.highest[name] = max(before[name], peak, slot.watch.highest.get(name, 0.0))


def _by_trial(values: Iterable[tuple[Slot, int]]) -> Counter[tuple[int, int]]:
    """Return the sum of the values of each trial's slots, by its key."""
    sums = Counter[tuple[int, int]]()
    for slot, value in values:
        sums[slot.plan.key] += value
    return sums
