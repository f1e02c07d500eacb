"""Faults as they are collected for one message."""

from __future__ import annotations

from sweep.errors import Fault
from sweep.plan.faults import FaultList


def test_a_fault_without_an_origin_gets_that_of_its_key() -> None:
    faults = FaultList(lambda path: f"where {path} was set")
    faults.add([Fault("a", "is wrong"), Fault("b", "is wrong", "a file")])
    assert [fault.origin for fault in faults.found] == ["where a was set", "a file"]


def test_a_key_with_a_fault_gets_no_second_one_from_a_later_check() -> None:
    faults = FaultList(lambda _: "", [Fault("a", "is no number")])
    faults.add_new([Fault("a", "is too small"), Fault("b", "is odd"), Fault("b", "is large")])
    assert [str(fault) for fault in faults.found] == ["a: is no number", "b: is odd", "b: is large"]


def test_faults_are_looked_for_by_the_beginning_of_their_key() -> None:
    faults = FaultList(lambda _: "")
    assert not faults and not faults.concern("trainer.")
    faults.add([Fault("trainer.seed", "is wrong")])
    assert faults and faults.concern("dataset.", "trainer.") and not faults.concern("optimizer.")
