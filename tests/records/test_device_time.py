"""The seconds of a training by device."""

from __future__ import annotations

from dataclasses import replace

from sweep.records.device_time import DeviceTime, added, with_present

A = DeviceTime("A100", "one", "one/0")
B = DeviceTime("H100", "two", "two/0")


def seconds(*times: DeviceTime) -> list[tuple[str, float, int]]:
    return [(one.worker, one.seconds, one.runs) for one in times]


def test_what_came_after_the_snapshot_counts_for_the_present_device() -> None:
    first = with_present((), A, 10.0)
    second = with_present(first, B, 25.0)
    third = with_present(second, A, 26.0)  # it has moved back, and is one training there
    assert seconds(*first) == [("one/0", 10.0, 1)]
    assert seconds(*second) == [("one/0", 10.0, 1), ("two/0", 15.0, 1)]
    assert seconds(*third) == [("one/0", 11.0, 1), ("two/0", 15.0, 1)]


def test_times_add_up_by_place() -> None:
    moved = with_present(with_present((), A, 10.0), B, 25.0)
    whole = added([*moved, replace(B, seconds=5.0), replace(B, host="three", seconds=1.0)])
    assert seconds(*whole) == [("one/0", 10.0, 1), ("two/0", 20.0, 2), ("two/0", 1.0, 1)]
