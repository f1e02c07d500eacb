"""Workers that Ray starts on this machine."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from support import remote_parts, toys
from sweep.errors import UserError
from sweep.launch.launcher import Launcher, Search
from sweep.launch.lost import RemoteTraceback, WorkerLostError
from sweep.launch.start import launched
from sweep.plan.plan import Plan
from sweep.records.snapshot import Snapshot
from sweep.records.trial import Completed, EvalPoint, Failed, FailureReason, Outcome, Step, TrialPlan, Verdict

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PASSWORD = "a-long-password-of-the-storage"
KEY = "a-long-key-of-the-dashboard-0123456789"


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return toys.plan(
        tmp_path_factory.mktemp("run"), "launcher=local", "launcher.workers=2", "study.pruner=none", "trainer.device=cpu",
    )  # fmt: skip


@pytest.fixture(scope="module")
def said() -> list[str]:
    return []


@pytest.fixture(scope="module")
def launcher(plan: Plan, said: list[str]) -> Iterator[Launcher]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("WANDB_API_KEY", KEY)
        patched.setenv("PGPASSWORD", PASSWORD)
        patched.delenv("OMP_NUM_THREADS")
        before = signal.getsignal(signal.SIGTERM)
        with launched(plan, say=said.append, make_engine=remote_parts.writing_engine) as found:
            assert signal.getsignal(signal.SIGTERM) is before
            assert os.environ["WANDB_API_KEY"] == KEY
            yield found
    assert signal.getsignal(signal.SIGTERM) is before


@dataclass
class Told:
    counts: list[int] = field(default_factory=list)

    def counted(self, number: int) -> None:
        self.counts.append(number)


def test_a_worker_tells_of_its_device(launcher: Launcher) -> None:
    facts = launcher.facts()
    assert (facts.device, facts.device_name, facts.has_bf16) == ("cpu", "cpu", False)
    assert facts.memory > facts.free_memory > 0
    assert launcher.ask(remote_parts.process) != os.getpid()


def test_a_signal_to_the_group_of_the_coordinator_reaches_no_worker(launcher: Launcher) -> None:
    assert os.getpgrp() not in launcher.ask(remote_parts.process_groups)


def test_cores_are_shared_out_among_the_workers(launcher: Launcher) -> None:
    assert launcher.ask(remote_parts.threads) == max(1, len(os.sched_getaffinity(0)) // 2)


def test_keys_passwords_and_test_rows_stay_with_the_coordinator(launcher: Launcher, plan: Plan) -> None:
    names = ("WANDB_API_KEY", "PGPASSWORD")
    assert launcher.ask(remote_parts.environment, *names) == dict.fromkeys(names)
    study = plan.config.study.model_copy(update={"storage": f"postgresql://sweep:{PASSWORD}@host/optuna"})
    config = plan.config.model_copy(update={"study": study})
    there = launcher.ask(remote_parts.received, config)
    assert PASSWORD not in repr(there) and "host/optuna" in repr(there)
    assert there.model == config.model and there.adapter == config.adapter
    assert plan.splits.test is not None and not launcher.ask(remote_parts.has_test_rows)


def test_an_error_is_raised_here_with_its_traceback_there(launcher: Launcher) -> None:
    with pytest.raises(ZeroDivisionError, match="a bug on the worker") as raised:
        launcher.ask(remote_parts.fails)
    assert isinstance(raised.value.__cause__, RemoteTraceback) and "in fails" in str(raised.value.__cause__)


def test_an_object_keeps_its_state_on_its_worker_and_calls_back(launcher: Launcher) -> None:
    told = Told()
    with launcher.hosted(remote_parts.Counter) as hosted:
        assert hosted.call("add", 2, callbacks=told) == 2
        assert hosted.call("add", 1, callbacks=told) == 3
        with pytest.raises(UserError, match="a.key: is wrong"):
            hosted.call("refuse")
    assert told.counts == [1, 2, 3]


@dataclass
class Study:
    """The callbacks of a study whose lost trials are given out again."""

    plans: list[TrialPlan]
    ended: list[tuple[int, Outcome]] = field(default_factory=list)
    snapshots: list[int] = field(default_factory=list)
    kills: list[int] = field(default_factory=list)

    def next(self) -> TrialPlan | None:
        return self.plans.pop(0) if self.plans else None

    def step(self, _plan: TrialPlan, _step: Step) -> Verdict:
        return Verdict.CONTINUE

    def evaluated(self, _plan: TrialPlan, _point: EvalPoint) -> Verdict:
        if self.kills:
            os.kill(self.kills.pop(), signal.SIGKILL)
        return Verdict.CONTINUE

    def end(self, plan: TrialPlan, outcome: Outcome) -> None:
        self.ended.append((plan.number, outcome))
        if isinstance(outcome, Failed):
            self.plans.append(plan)

    def saved(self, plan: TrialPlan, snapshot: Snapshot) -> None:
        assert len(snapshot.data) == remote_parts.LARGE
        self.snapshots.append(plan.number)


def run(launcher: Launcher, plan: Plan, count: int, folder: Path, kills: list[int]) -> Study:
    trial = plan.trial(0, {})
    study = Study([replace(trial, number=number) for number in range(count)], kills=kills)
    search = Search(lambda one: folder / str(one.number) / "best", lambda one, _: one.number == 1, lambda: False, count)
    launcher.engine(search).run(study.next, study.step, study.evaluated, study.end, study.saved)
    return study


def test_trials_run_on_all_workers_and_the_best_adapter_comes_back(
    launcher: Launcher, plan: Plan, tmp_path: Path
) -> None:
    study = run(launcher, plan, 6, tmp_path, [])
    assert sorted(number for number, _ in study.ended) == list(range(6))
    assert all(isinstance(outcome, Completed) and outcome.cost.host for _, outcome in study.ended)
    assert len(study.snapshots) == 18
    assert [path.parent.parent.name for path in tmp_path.rglob("weights")] == ["1"]
    assert (tmp_path / "1" / "best" / "weights").read_bytes() == b"\3" * remote_parts.LARGE


def test_the_trials_of_a_killed_worker_go_on_elsewhere(
    launcher: Launcher, plan: Plan, tmp_path: Path, said: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    study = run(launcher, plan, 4, tmp_path, [launcher.ask(remote_parts.process)])
    lost = [outcome for _, outcome in study.ended if isinstance(outcome, Failed)]
    assert lost and all(outcome.reason is FailureReason.LOST for outcome in lost)
    assert lost[0].message.endswith("its process was killed or crashed")
    assert sorted(number for number, outcome in study.ended if isinstance(outcome, Completed)) == [0, 1, 2, 3]
    assert any("died: its process was killed" in line for line in said)
    assert "raylet" not in "".join(capfd.readouterr())


def test_a_killed_host_of_an_object_is_told_and_another_worker_takes_over(launcher: Launcher) -> None:
    with launcher.hosted(remote_parts.Counter) as hosted, pytest.raises(WorkerLostError, match="was killed"):
        hosted.call("die")
    with launcher.hosted(remote_parts.Counter) as hosted:
        assert hosted.call("add", 1, callbacks=Told()) == 1
