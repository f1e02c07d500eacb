"""Workers of Ray where Ray itself fails."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pytest

from support.teams import CPU
from sweep.errors import UserError
from sweep.launch.actor import Refusal
from sweep.launch.placement import Placement
from sweep.launch.ray_cluster import Node
from sweep.launch.ray_team import RayTeam
from sweep.launch.team import Member, Severed
from sweep.launch.worker_layout import WorkerLayout

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
    placements: Any = {("a", 0): SimpleNamespace(host="one"), ("a", 1): SimpleNamespace(host="one"),
                  ("b", 0): SimpleNamespace(host="two")}  # fmt: skip
    there, gone = Member("one/0", nothing), Member("one/1", nothing)
    team = RayTeam(
        nothing,
        WorkerLayout(False, cpus=2),
        nothing,
        nothing,
        60.0,
        print,
        _placements=placements,
        _of={there: placements["a", 0]},
    )
    assert team.workers_on_host(there) == 2 and team.workers_on_host(gone) == 1
    team._nodes = [Node("a", "one", 4, 0), Node("b", "two", 8, 0), Node("c", "one", 6, 0)]
    assert team.workers_on_host(there) == 5
    team.shape = WorkerLayout(False, cpus=2, only=3)
    assert team.workers_on_host(there) == 3


OLD, BROKEN = Refusal("one", ("torch is 1.0",)), Refusal("one", ("no space left",))


def test_a_host_that_was_refused_and_mended_is_used_again() -> None:
    """Its node has another id. A worker beside one that is used stays refused."""
    nothing: Any = None
    refused = {("a", 0): OLD, ("b", 1): BROKEN, ("c", 0): Refusal("two", OLD.reasons)}
    nodes = [Node("b", "one", 4, 0)]
    team = RayTeam(
        nothing, WorkerLayout(False, cpus=2), nothing, nothing, 60.0, print, refused=dict(refused), _nodes=nodes
    )
    placement = team._placements["b", 0] = Placement(nothing, ("b", 0), "one", 0.0)
    team._take_in(placement, CPU)
    assert [member.name for member in team.members] == ["one/0"]
    del refused["a", 0]
    assert team.refused == refused


def test_each_reason_of_the_workers_on_a_host_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "kill", lambda _actor: None)
    cluster: Any = Cluster()
    nothing, said = cluster, list[str]()
    team = RayTeam(cluster, WorkerLayout(True), nothing, nothing, 0.0, said.append, _nodes=[Node("a", "one", 4, 3)])
    for index, one in enumerate((OLD, BROKEN, OLD)):
        placement = team._placements["a", index] = Placement(nothing, ("a", index), "one", 0.0)
        team._take_in(placement, one)
    again = "; once that is mended, start Ray on one again, or the study"
    assert said == [f"{OLD}{again}", f"{BROKEN}{again}"]
    assert str(OLD) == "the worker on one is not used: torch is 1.0"
    team._alone_since -= 60.0
    with pytest.raises(UserError, match=r"torch is 1\.0\n.*no space left") as error:
        team._check_alone()
    assert len(error.value.faults) == 2


def test_a_place_whose_workers_die_is_given_up_with_a_line() -> None:
    cluster: Any = Cluster()
    nothing, said = cluster, list[str]()
    team = RayTeam(cluster, WorkerLayout(True), nothing, nothing, 0.0, said.append)
    for _ in range(3):
        placement = team._placements["a", 0] = Placement(nothing, ("a", 0), "one", 0.0)
        team._lose(placement, "no usable temporary folder")
    (line,) = said
    assert line.startswith("the worker on one is not used: it died 3 times in a row: no usable temporary folder; once")


def test_a_study_that_waits_for_room_says_so_once() -> None:
    cluster: Any = Cluster()
    nothing, said = cluster, list[str]()
    team = RayTeam(cluster, WorkerLayout(False), nothing, nothing, 600.0, said.append, _nodes=[Node("a", "one", 4, 0)])
    placement = team._placements["a", 0] = Placement(nothing, ("a", 0), "one", 0.0)
    team._check_alone()
    team._alone_since -= 60.0
    team._check_alone()
    team._check_alone()
    (line,) = said
    assert "on one (1 of 4 CPU cores free); end what else runs there, use launcher.cpus_per_worker=1. The study" in line
    team._take_in(placement, CPU)
    team._check_alone()
    team._lose(placement, "its node is gone")
    team._alone_since -= 60.0
    team._check_alone()
    assert len(said) == 2 and "each takes all CPU cores of a node" in said[1]


@dataclass
class Cluster:
    """The head of a cluster that answers or not."""

    there: bool = True
    local: bool = False
    asked: int = 0
    head: tuple[str, int] = ("10.0.0.1", 6379)

    def answers(self) -> bool:
        return self.there

    def nodes(self) -> list[Node]:
        self.asked += 1
        return []

    def with_free(self, nodes: list[Node]) -> list[Node]:
        return [replace(node, free_cpus=1.0) for node in nodes]


def test_a_head_that_is_away_is_asked_for_nothing_and_after_a_while_counts_as_gone() -> None:
    nothing: Any = None
    cluster: Any = Cluster()
    team = RayTeam(cluster, WorkerLayout(False), nothing, nothing, 60.0, print)
    for there in (True, False, True, True, False):
        cluster.there, team._looked = there, 0.0
        team._look()
    assert cluster.asked == 3 and not team._ready
    team._head_seen, team._looked = -1e6, 0.0
    team._look()
    (event,) = team._ready
    assert isinstance(event, Severed) and event.why == "the head of the Ray cluster at 10.0.0.1:6379 is gone"
    cluster.there, team._looked = True, 0.0
    team._look()
    assert cluster.asked == 3
