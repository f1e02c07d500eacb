"""Paused trials go on on any worker."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support.promoting import BestGoesOn, PausedAtEach
from support.studies import PLAIN, points, searched
from support.teams import ThreadTeam
from support.toys import ToyEngine
from sweep.launch.launcher import Search
from sweep.launch.remote_engine import RemoteEngine
from sweep.plan import pausing
from sweep.records.snapshots import Snapshots
from sweep.records.store import Store
from sweep.records.trial import EvalPoint, TrialPlan, Verdict
from sweep.search import pruners

OPTIONS = ("study.n_trials=5", "study.sampler=random", "trainer.eval_strategy=epoch", "optimizer.warmup_steps=0")


def test_paused_trials_go_on_on_workers_that_are_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One worker is killed in the training of a promoted trial."""
    monkeypatch.setitem(pruners._PRUNERS, "racing", PausedAtEach)
    monkeypatch.setattr(pausing, "LEAST_SCORED", 0)
    team = ThreadTeam(tmp_path / "workers")
    lost = team.add(ToyEngine(slots=2), "one")

    def kill(trial: TrialPlan, epoch: int) -> None:
        if epoch == 2 and trial.worker == lost.name and len(team.members) == 2:
            team.kill(lost)

    team.workers[lost].make_engine = lambda *_: ToyEngine(before=kill, slots=2)
    team.add(ToyEngine(slots=1), "two")
    search = Search(lambda _: None, lambda *_: False, lambda: False, 5)
    records = searched(tmp_path / "a", *OPTIONS, engine=RemoteEngine(team, search, say=lambda _: None))
    team.pool.shutdown(wait=False)
    whole = searched(tmp_path / "b", *OPTIONS, *PLAIN)
    assert points(records) == points(whole)
    assert [one.outcome.evals for one in records] == [one.outcome.evals for one in whole]
    assert {one.promotions for one in records} == {2}
    ours, theirs = Store(tmp_path / "a" / "run"), Store(tmp_path / "b" / "run")
    assert all(ours.events(number) == theirs.events(number) for number in range(5))
    assert Snapshots(ours.root).keys() == []


class LostAtPause(ToyEngine):
    """Loses its worker by `lose` when the pruner has paused trial 1, before its snapshot."""

    def __init__(self, lose: Any) -> None:
        super().__init__()
        self.lose = lose

    def run(self, next_trial: Any, on_step: Any, on_eval: Any, on_end: Any, on_snapshot: Any = None) -> None:
        def evaluated(plan: TrialPlan, point: EvalPoint) -> Verdict:
            verdict: Verdict = on_eval(plan, point)
            if verdict is Verdict.PUT_AWAY and plan.number == 1:
                self.lose()
            return verdict

        super().run(next_trial, on_step, evaluated, on_end, on_snapshot)


def test_a_worker_that_dies_before_it_has_saved_a_paused_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trial goes on elsewhere, and is paused where it was."""
    monkeypatch.setitem(pruners._PRUNERS, "racing", BestGoesOn)
    monkeypatch.setattr(pausing, "LEAST_SCORED", 0)
    team = ThreadTeam(tmp_path / "workers")
    lost = team.add(ToyEngine(), "one")

    def lose() -> None:
        if lost in team.members:
            team.kill(lost)
            team.add(ToyEngine(), "two")

    team.workers[lost].make_engine = lambda *_: LostAtPause(lose)
    search = Search(lambda _: None, lambda *_: False, lambda: False, 5)
    records = searched(tmp_path / "a", *OPTIONS, engine=RemoteEngine(team, search, say=lambda _: None))
    team.pool.shutdown(wait=False)
    whole = searched(tmp_path / "b", *OPTIONS)
    assert lost not in team.members
    for record, other in zip(records, whole, strict=True):
        cost = replace(record.outcome.cost, host="", worker="")
        assert (record.state, record.outcome.evals, cost) == (other.state, other.outcome.evals, other.outcome.cost)
        assert (record.pauses, record.promotions) == (other.pauses, other.promotions)
