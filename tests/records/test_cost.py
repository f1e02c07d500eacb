"""The cost of a training, and sums of costs."""

from __future__ import annotations

from dataclasses import replace

from sweep.records.cost import Cost, total, unfinished_cost
from sweep.records.device_time import DeviceTime, with_present
from sweep.records.snapshot import Snapshot

A = DeviceTime("A100", "one", "one/0")
B = DeviceTime("H100", "two", "two/0")


def test_costs_add_up() -> None:
    first = Cost(
        seconds=4, train_seconds=2, eval_seconds=1, steps=10, samples=80, eval_samples=50, flops=1e6, device="cpu"
    )
    whole = total([first, total([Cost(seconds=6, peak_host_bytes=7, device="cpu"), Cost(device="H200")])])
    assert (whole.seconds, whole.peak_host_bytes, whole.device) == (10, 7, "cpu, H200")
    assert whole.account["cost/samples_per_second"] == 40
    assert whole.account["cost/eval_samples_per_second"] == 50
    assert whole.account["cost/device_hours"] == 10 / 3600


def test_an_account_leaves_out_what_was_not_measured() -> None:
    account = Cost(seconds=1).account
    assert account["cost/seconds"] == 1
    assert not account.keys() & {"cost/device", "cost/steps_per_second", "cost/eval_samples_per_second"}


def seconds(*times: DeviceTime) -> list[tuple[str, float, int]]:
    return [(one.worker, one.seconds, one.runs) for one in times]


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
