"""Workers of Ray where Ray itself fails."""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from support.teams import CPU
from sweep.launch.ray_cluster import Node
from sweep.launch.ray_team import RayTeam, _Seat
from sweep.launch.shape import Shape
from sweep.launch.team import Member, Severed

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'sweep[ray]'")
pytestmark = pytest.mark.slow  # importing Ray takes seconds


@pytest.mark.parametrize("error", [BrokenPipeError("Broken pipe"), ray.exceptions.RaySystemError("no socket")])
def test_a_raylet_that_has_ended_ends_the_study_and_not_its_trials(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def wait(*_: Any, **__: Any) -> None:
        raise error

    nothing: Any = None
    team = RayTeam(nothing, nothing, nothing, nothing, 60.0, print, _looked=time.monotonic(), members=[nothing])
    team._pending[object()] = nothing
    monkeypatch.setattr(ray, "wait", wait)
    (event,) = team.events(0.01)
    assert isinstance(event, Severed) and "the raylet" in event.why


def test_the_workers_that_are_placed_on_a_host_or_may_be_share_it() -> None:
    nothing: Any = None
    seats: Any = {("a", 0): SimpleNamespace(host="one"), ("a", 1): SimpleNamespace(host="one"),
                  ("b", 0): SimpleNamespace(host="two")}  # fmt: skip
    there, gone = Member("one/0", nothing), Member("one/1", nothing)
    team = RayTeam(
        nothing, Shape(False, cpus=2), nothing, nothing, 60.0, print, _seats=seats, _of={there: seats["a", 0]}
    )
    assert team.workers_on_host(there) == 2 and team.workers_on_host(gone) == 1
    team._nodes = [Node("a", "one", 4, 0), Node("b", "two", 8, 0), Node("c", "one", 6, 0)]
    assert team.workers_on_host(there) == 5
    team.shape = Shape(False, cpus=2, only=3)
    assert team.workers_on_host(there) == 3


def test_a_host_that_was_refused_and_mended_is_used_again() -> None:
    nothing: Any = None
    team = RayTeam(nothing, Shape(False, cpus=2), nothing, nothing, 60.0, print, refused={"one": ("torch is 1.0",)})
    seat = team._seats["b", 0] = _Seat(nothing, ("b", 0), "one", 0.0)
    team._take_in(seat, CPU)
    assert [member.name for member in team.members] == ["one/0"]
    assert not team.refused


@dataclass
class Cluster:
    """The head of a cluster that answers or not, and that may be another one when it is back."""

    answers: bool = True
    back: bool = True
    asked: int = 0
    head: tuple[str, int] = ("10.0.0.1", 6379)

    def reachable(self) -> bool:
        return self.answers

    def is_back(self) -> bool:
        return self.back

    def nodes(self) -> list[Node]:
        self.asked += 1
        return []


@pytest.mark.parametrize("same", [True, False])
def test_another_head_in_place_of_the_first_is_asked_for_nothing(same: bool) -> None:
    """Ray aborts a process that asks another cluster for the nodes of its own."""
    nothing: Any = None
    cluster: Any = Cluster(back=same)
    team = RayTeam(cluster, Shape(False), nothing, nothing, 60.0, print)
    for answers in (True, False, True, True):
        cluster.answers, team._looked = answers, 0.0
        team._look()
    assert cluster.asked == (3 if same else 1) and not team._ready
    team._head_seen, team._looked, cluster.answers = -1e6, 0.0, False
    team._look()
    (event,) = team._ready
    assert isinstance(event, Severed) and event.why == "the head of the Ray cluster at 10.0.0.1:6379 is gone"
    cluster.answers, team._looked = True, 0.0
    team._look()
    assert cluster.asked == (3 if same else 1)
