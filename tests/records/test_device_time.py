"""The seconds of a training by device."""

from __future__ import annotations

from dataclasses import replace

from sweep.records.device_time import DeviceTime, added, with_present
from sweep.records.snapshot import Snapshot
from sweep.records.trial import Cost, total, unfinished_cost

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


def test_a_sum_of_costs_counts_older_ones_for_their_last_device() -> None:
    moved = Cost(
        seconds=25.0, device="H100", worker="two/0", devices=with_present((replace(A, seconds=10.0),), B, 25.0)
    )
    older = Cost(seconds=4.0, device="A100", host="one", worker="one/0")
    whole = total([moved, older, Cost()])
    assert seconds(*whole.devices) == [("one/0", 14.0, 2), ("two/0", 15.0, 1)]
    assert total([Cost(), Cost()]) == Cost()
    assert seconds(*total([whole, whole]).devices) == [("one/0", 28.0, 4), ("two/0", 30.0, 2)]


def snapshot(metadata: str) -> Snapshot:
    header = f'{{"__metadata__": {{"format": "1", "step": "7"{metadata}}}}}'.encode()
    return Snapshot(len(header).to_bytes(8, "little") + header)


def test_a_lost_training_cost_what_its_snapshot_had_and_what_it_reported() -> None:
    times = r"[{\"device\": \"A100\", \"host\": \"one\", \"worker\": \"one/0\", \"seconds\": 10.0, \"runs\": 1}]"
    held = snapshot(f', "seconds": "10.0", "devices": "{times}"')
    lost = unfinished_cost(held, B, 12.5)
    assert (lost.seconds, lost.worker) == (12.5, "two/0")
    assert seconds(*lost.devices) == [("one/0", 10.0, 1), ("two/0", 2.5, 1)]
    assert unfinished_cost(held, B, 0.5).seconds == 10.0  # it had not gone on yet
    assert seconds(*unfinished_cost(snapshot(""), B, 3.0).devices) == [("two/0", 3.0, 1)]
    assert seconds(*unfinished_cost(None, B, 3.0).devices) == [("two/0", 3.0, 1)]
