"""The engine over several workers, which are threads here."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from support import toys
from support.teams import ThreadTeam
from support.toys import ToyEngine
from sweep.engine.protocol import no_snapshot
from sweep.errors import Interrupted, UserError, disk_failure
from sweep.launch.launcher import Search
from sweep.launch.messages import Warned
from sweep.launch.remote_engine import RemoteEngine, gathering
from sweep.launch.team import Member
from sweep.records.snapshot import Snapshot
from sweep.records.trial import Completed, EvalPoint, Failed, FailureReason, Outcome, Step, TrialPlan, Verdict


@dataclass
class Study:
    """The callbacks of a study of `count` trials. A lost or interrupted trial is given out
    again."""

    plans: list[TrialPlan]
    verdicts: dict[int, Verdict] = field(default_factory=dict)
    ended: list[tuple[TrialPlan, Outcome]] = field(default_factory=list)
    steps: list[tuple[int, int]] = field(default_factory=list)
    evals: list[tuple[int, int]] = field(default_factory=list)
    snapshots: list[int] = field(default_factory=list)
    running: set[int] = field(default_factory=set)
    most: int = 0
    limit: int | None = None
    stopped: bool = False
    at_step: Callable[[TrialPlan, Step], None] = lambda plan, step: None

    def next(self) -> TrialPlan | None:
        if self.stopped or not self.plans or len(self.running) == self.limit:
            return None
        plan = self.plans.pop(0)
        self.running.add(plan.number)
        self.most = max(self.most, len(self.running))
        return plan

    def step(self, plan: TrialPlan, step: Step) -> Verdict:
        self.at_step(plan, step)
        self.steps.append((plan.number, step.step))
        return self.verdicts.get(plan.number, Verdict.CONTINUE)

    def evaluated(self, plan: TrialPlan, point: EvalPoint) -> Verdict:
        self.evals.append((plan.number, point.index))
        return self.verdicts.get(plan.number, Verdict.CONTINUE)

    def end(self, plan: TrialPlan, outcome: Outcome) -> None:
        self.ended.append((plan, outcome))
        self.running.discard(plan.number)
        if isinstance(outcome, Failed) and outcome.reason.retried and not self.stopped:
            self.plans.append(plan)

    def saved(self, plan: TrialPlan, _snapshot: Snapshot) -> None:
        self.snapshots.append(plan.number)

    def run(self, team: ThreadTeam, *, best: Path | None = None) -> list[str]:
        said: list[str] = []
        search = Search(
            lambda plan: None if best is None else best / str(plan.number) / "best",
            lambda plan, outcome: len(self.ended) == 0,
            lambda: self.stopped,
            len(self.plans),
            at_once=lambda: self.limit,
        )
        engine = RemoteEngine(team, search, said.append)
        engine.run(self.next, self.step, self.evaluated, self.end, self.saved)
        return said


@dataclass
class Slow(ToyEngine):
    """A toy engine whose epochs take a moment, which saves a snapshot after each, and which writes
    the adapter of each trial."""

    seconds: float = 0.01
    best_dir: Any = None

    def run(self, next_trial: Any, on_step: Any, on_eval: Any, on_end: Any, on_snapshot: Any = no_snapshot) -> None:
        def evaluated(plan: TrialPlan, point: EvalPoint) -> Verdict:
            on_snapshot(plan, Snapshot(b"state"))
            time.sleep(self.seconds)
            if (folder := self.best_dir(plan)) is not None:
                folder.mkdir(parents=True, exist_ok=True)
                (folder / "weights").write_text(f"{plan.number} after {point.index}")
            verdict: Verdict = on_eval(plan, point)
            return verdict

        super().run(next_trial, on_step, evaluated, on_end)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> TrialPlan:
    return toys.plan(tmp_path_factory.mktemp("plan")).trial(0, {})


@pytest.fixture
def team(tmp_path: Path) -> Iterator[ThreadTeam]:
    made = ThreadTeam(tmp_path / "workers")
    yield made
    made.pool.shutdown(wait=False)


def study(plan: TrialPlan, count: int) -> Study:
    return Study([replace(plan, number=number) for number in range(count)])


def hosts(found: Study) -> list[str]:
    return [outcome.cost.worker for _, outcome in found.ended]


def test_every_trial_is_trained_once_and_its_record_names_its_worker(plan: TrialPlan, team: ThreadTeam) -> None:
    found = study(plan, 8)
    names = [team.add(Slow(slots=2), host).name for host in ("one", "two")]
    found.run(team)
    assert sorted(plan.number for plan, _ in found.ended) == list(range(8))
    assert all(isinstance(outcome, Completed) for _, outcome in found.ended)
    assert set(hosts(found)) == set(names)
    assert {outcome.cost.host for _, outcome in found.ended} == {"one", "two"}
    assert sorted(found.evals) == [(number, index) for number in range(8) for index in (1, 2, 3)]
    assert len(found.snapshots) == 24


def test_a_warning_of_a_worker_names_its_host(plan: TrialPlan, team: ThreadTeam) -> None:
    for host in ("one", "two", "two"):
        team.workers[team.add(Slow(), host)].mailbox.tell(Warned("gain is NaN"))
    said = study(plan, 6).run(team)
    assert sorted(said) == ["gain is NaN, on the worker on one", "gain is NaN, on the worker on two"]


def test_no_worker_takes_all_at_the_start(plan: TrialPlan, team: ThreadTeam) -> None:
    """One worker has slots for all, and asks first."""
    found = study(plan, 6)
    first = team.add(Slow(slots=16))
    team.add(Slow(slots=16))
    found.run(team)
    assert hosts(found).count(first.name) == 3


def test_the_limit_holds_over_all_workers(plan: TrialPlan, team: ThreadTeam) -> None:
    found = study(plan, 9)
    for _ in range(3):
        team.add(Slow(slots=4))
    found.limit = 4
    found.run(team)
    assert found.most == 4 and len(found.ended) == 9 and len(set(hosts(found))) == 3


def test_a_verdict_ends_a_trial_on_its_worker(plan: TrialPlan, team: ThreadTeam) -> None:
    found = study(plan, 2)
    found.verdicts = {1: Verdict.PRUNE}
    team.add(Slow(slots=2))
    found.run(team)
    assert {plan.number: outcome.kind for plan, outcome in found.ended} == {0: "completed", 1: "pruned"}


def test_the_trials_of_a_lost_worker_are_trained_by_another(plan: TrialPlan, team: ThreadTeam) -> None:
    found = study(plan, 4)
    members = [team.add(Slow(slots=2), "one"), team.add(Slow(slots=2), "two")]

    def lose(_plan: TrialPlan, _step: Step) -> None:
        if len(team.members) == 2 and len(found.running) == 4:
            team.kill(members[0])

    found.at_step = lose
    said = found.run(team)
    lost = [outcome for _, outcome in found.ended if isinstance(outcome, Failed)]
    assert [outcome.reason for outcome in lost] == [FailureReason.LOST] * 2
    assert all(outcome.message == "its worker on one died: its process was killed" for outcome in lost)
    assert all([one.worker for one in outcome.cost.devices] == [members[0].name] for outcome in lost)
    completed = [plan.number for plan, outcome in found.ended if isinstance(outcome, Completed)]
    assert sorted(completed) == [0, 1, 2, 3] and "the worker on one died: its process was killed" in said


def test_a_worker_that_joins_while_the_study_runs_is_given_trials(plan: TrialPlan, team: ThreadTeam) -> None:
    found, joined = study(plan, 12), list[Member]()
    team.add(Slow(slots=1))

    def join(_plan: TrialPlan, _step: Step) -> None:
        if not joined:
            joined.append(team.add(Slow(slots=1), "late"))

    found.at_step = join
    found.run(team)
    assert len(found.ended) == 12 and joined[0].name in hosts(found)


def test_a_worker_that_is_told_to_end_hands_its_trials_back(plan: TrialPlan, team: ThreadTeam) -> None:
    found = study(plan, 4)
    leaving = team.add(Slow(slots=2), "one")
    team.add(Slow(slots=2), "two")

    def tell(_plan: TrialPlan, _step: Step) -> None:
        if len(found.running) == 4:
            team.workers[leaving].end("its worker on one was told to end")

    found.at_step = tell
    said = found.run(team)
    handed_back = [outcome for _, outcome in found.ended if isinstance(outcome, Failed)]
    assert handed_back and all(outcome.reason is FailureReason.INTERRUPTED for outcome in handed_back)
    assert handed_back[0].message.startswith("its worker on one was told to end")
    assert sorted(plan.number for plan, outcome in found.ended if isinstance(outcome, Completed)) == [0, 1, 2, 3]
    assert team.members != [leaving] and any("leaves" in line for line in said)


def test_the_user_stops_all_workers(plan: TrialPlan, team: ThreadTeam) -> None:
    found = study(plan, 50)
    for _ in range(2):
        team.add(Slow(slots=2))

    def stop(_plan: TrialPlan, _step: Step) -> None:
        found.stopped = len(found.ended) > 3

    found.at_step = stop
    found.run(team)
    kinds = [outcome.reason for _, outcome in found.ended if isinstance(outcome, Failed)]
    assert kinds and set(kinds) == {FailureReason.INTERRUPTED} and not found.running and found.plans


def test_the_error_of_an_engine_ends_the_study_with_its_traceback(plan: TrialPlan, team: ThreadTeam) -> None:
    def broken(trial: TrialPlan, epoch: int) -> None:
        raise ZeroDivisionError("a bug")

    found = study(plan, 2)
    team.add(Slow(before=broken))
    with pytest.raises(ZeroDivisionError, match="a bug") as raised:
        found.run(team)
    assert "in broken" in str(raised.value.__cause__)


@pytest.mark.parametrize("file", ["/tmp/best", None])
def test_a_full_disk_of_a_worker_is_named_with_its_host(plan: TrialPlan, team: ThreadTeam, file: str | None) -> None:
    def full(trial: TrialPlan, epoch: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", file)

    found = study(plan, 2)
    team.add(Slow(before=full), host="node7")
    with pytest.raises(OSError) as raised:
        found.run(team)
    assert disk_failure(raised.value) == f"{file or 'a file'} on node7: No space left on device"


def test_a_fault_that_shows_on_a_worker_is_named_with_its_host(plan: TrialPlan, team: ThreadTeam) -> None:
    def wrong(trial: TrialPlan, epoch: int) -> None:
        raise UserError.of("dataset.metrics", "is mymetrics.brier, which raised KeyError: 'SCALE'")

    found = study(plan, 2)
    team.add(Slow(before=wrong), host="node7")
    with pytest.raises(UserError, match=r"^dataset.metrics: is .* raised KeyError: 'SCALE', on the worker on node7$"):
        found.run(team)


def test_without_the_head_trials_are_put_away_and_the_run_is_interrupted(plan: TrialPlan, team: ThreadTeam) -> None:
    found = study(plan, 50)
    team.add(Slow(slots=2))

    def sever(_plan: TrialPlan, _step: Step) -> None:
        if len(found.ended) == 2:
            team.sever()

    found.at_step = sever
    with pytest.raises(Interrupted, match="the head is gone"):
        found.run(team)
    assert not found.running and found.plans


def test_the_adapter_of_the_best_trial_so_far_is_sent(plan: TrialPlan, team: ThreadTeam, tmp_path: Path) -> None:
    """Here the first trial that ends is the best."""
    found = study(plan, 3)
    member = team.add(Slow())
    found.run(team, best=tmp_path / "best")
    assert [path.parent.name for path in (tmp_path / "best").glob("*/best")] == ["0"]
    assert (tmp_path / "best" / "0" / "best" / "weights").read_text() == "0 after 3"
    assert not list(team.workers[member].workspace.scratch.rglob("weights"))


def test_a_study_without_a_trial_asks_no_worker_twice(plan: TrialPlan, team: ThreadTeam) -> None:
    found = study(plan, 0)
    for _ in range(3):
        team.add(Slow())
    found.run(team)
    assert not found.ended and len(team.replies) <= 6


def test_workers_gather_longer_the_more_there_are() -> None:
    assert [gathering(workers) for workers in (1, 12, 50, 1000)] == [0.25, 0.25, 1.0, 2.0]
