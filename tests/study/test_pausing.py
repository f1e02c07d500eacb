"""Trials that the pruner pauses: they free their slot, and go on or end later."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import optuna
import pytest
from optuna.trial import TrialState

from support.promoting import BestGoesOn, PausedAtEach
from support.studies import PLAIN, Undisturbed, Whole, points, searched
from support.toys import ToyEngine, session, toy_snapshot
from support.trials import make_plan as make_trial
from sweep.errors import Interrupted, UserError
from sweep.final.confirm import choose
from sweep.plan import pausing
from sweep.records.cost import Cost
from sweep.records.events import read_rows
from sweep.records.final import Parameters
from sweep.records.marks import UnfinishedState
from sweep.records.row_log import RowLog
from sweep.records.snapshot import Snapshot
from sweep.records.snapshots import Snapshots
from sweep.records.spent import Spent, write_spent
from sweep.records.store import Store
from sweep.records.trial import EvalPoint, Failed, Metrics, Pruned, TrialPlan, TrialRecord, Verdict
from sweep.search import pruners
from sweep.search.promotion import PAUSED_AT
from sweep.study import feasibility, recovery
from sweep.study.crashes import crashes_recorded
from sweep.study.recovery import cost_at_pause
from sweep.study.running import RunningTrial
from sweep.study.search import search
from sweep.study.trial_groups import OwnSampler
from sweep.track.null import NullTracker
from sweep.track.tracker import Ending, JobType, StoppedRun

from .test_kills import Killed, Killer
from .test_search_going_on import Killed as KilledInTraining
from .test_search_going_on import at, interrupt, kill

OPTIONS = ("study.n_trials=5", "study.sampler=random", "trainer.eval_strategy=epoch", "optimizer.warmup_steps=0",
           "study.space=quickstart")  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """Return a study that never stopped, whose pruner promotes as in all tests here."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patched:
        use(patched, BestGoesOn)
        return Whole(folder, searched(folder, *OPTIONS))


@pytest.fixture(autouse=True)
def _promoting(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, BestGoesOn)


def use(monkeypatch: pytest.MonkeyPatch, rule: type[BestGoesOn]) -> None:
    monkeypatch.setitem(pruners._PRUNERS, "racing", rule)
    monkeypatch.setattr(pausing, "LEAST_SCORED", 0)


def in_optuna(folder: Path) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name="quickstart", storage=f"sqlite:///{folder / 'run' / 'study.db'}").trials


def comparable(records: list[TrialRecord]) -> list[TrialRecord]:
    return [replace(one, started="", finished="", command="", pauses=0, promotions=0) for one in records]


def best_first(records: list[TrialRecord]) -> list[int]:
    return sorted(range(len(records)), key=lambda number: -records[number].outcome.evals[0].metrics["eval/accuracy"])


@pytest.mark.parametrize("slots", [1, 3])
def test_the_promoted_trials_complete_and_the_others_end_as_pruned(
    tmp_path: Path, undisturbed: Undisturbed, slots: int
) -> None:
    engine = ToyEngine(slots=slots)
    records = searched(tmp_path / "a", *OPTIONS, engine=engine)
    whole = undisturbed(*OPTIONS, *PLAIN).records
    promoted = best_first(whole)[:2]
    assert points(records) == points(whole)
    assert [plan.number for plan in engine.trained] == [0, 1, 2, 3, 4, *promoted]
    assert all(plan.snapshot is not None for plan in engine.trained[5:])
    for record, other in zip(records, whole, strict=True):
        assert (record.pauses, record.promotions) == (1, int(record.number in promoted))
        if record.number in promoted:
            assert comparable([record]) == comparable([other])
        else:
            assert isinstance(record.outcome, Pruned) and record.outcome.evals == other.outcome.evals[:1]
            assert (record.place, record.total_steps, record.params) == (
                other.place, other.total_steps, other.params
            )  # fmt: skip
    store = Store(tmp_path / "a" / "run")
    assert Snapshots(store.root).keys() == [] and not list(store.root.rglob("paused.json"))
    ended = in_optuna(tmp_path / "a")
    assert [one.state is TrialState.COMPLETE for one in ended] == [one.number in promoted for one in ended]
    assert all(one.state in (TrialState.COMPLETE, TrialState.PRUNED) for one in ended)


@pytest.mark.parametrize(("sampler", "slots"), [("random", 1), ("random", 3), ("qmc", 2)])
def test_pausing_changes_no_point_no_row_and_no_score(
    tmp_path: Path, undisturbed: Undisturbed, monkeypatch: pytest.MonkeyPatch, sampler: str, slots: int
) -> None:
    use(monkeypatch, PausedAtEach)
    options = (*OPTIONS, f"study.sampler={sampler}")
    engine = ToyEngine(slots=slots)
    records = searched(tmp_path / "a", *options, engine=engine)
    whole = undisturbed(*options, *PLAIN)
    assert comparable(records) == comparable(whole.records)
    assert len(engine.trained) == 15 and max(engine.together) == slots
    assert {record.pauses for record in records} == {record.promotions for record in records} == {2}
    for number in range(5):
        assert Store(tmp_path / "a" / "run").events(number) == Store(whole.folder / "run").events(number)


def stop_study(folder: Path, before: Callable[[TrialPlan, int], None], error: type[BaseException]) -> None:
    with pytest.raises(error):
        searched(folder, *OPTIONS, engine=ToyEngine(before))


@pytest.mark.parametrize(
    ("number", "epoch"), [(1, 1), (4, 1), (0, 2), (2, 2)], ids=["first", "last new", "promoted", "other promoted"]
)
@pytest.mark.parametrize(
    ("action", "error"), [(kill, KilledInTraining), (interrupt(), Interrupted)], ids=["killed", "stopped"]
)
def test_a_stopped_study_finds_its_trials_paused_again(
    tmp_path: Path, whole: Whole, number: int, epoch: int, action: Callable[[], None], error: type[BaseException]
) -> None:
    number = number if epoch == 1 else best_first(whole.records)[number // 2]
    stop_study(tmp_path / "a", at(number, epoch, action), error)
    left = [one for one in in_optuna(tmp_path / "a") if one.state is TrialState.RUNNING]
    paused = {one.number for one in left if one.user_attrs.get(PAUSED_AT)}
    store = Store(tmp_path / "a" / "run")
    assert {record.number for record in store.paused_trials()} == paused
    assert bool(paused)
    records = searched(tmp_path / "a", *OPTIONS)
    assert comparable(records) == comparable(whole.records)
    assert [(one.pauses, one.promotions) for one in records] == [(one.pauses, one.promotions) for one in whole.records]
    for record in records:
        assert store.events(record.number) == Store(whole.folder / "run").events(record.number)


class KilledAtPause(ToyEngine):
    """Killed when the pruner has paused trial 1: before its snapshot, or after it."""

    saved = False

    def run(self, next_trial: Any, on_step: Any, on_eval: Any, on_end: Any, on_snapshot: Any = None) -> None:
        def evaluated(plan: TrialPlan, point: EvalPoint) -> Verdict:
            verdict: Verdict = on_eval(plan, point)
            if verdict is Verdict.PUT_AWAY and plan.number == 1 and not self.saved:
                raise Killed
            return verdict

        def snapshot(plan: TrialPlan, taken: Snapshot) -> None:
            on_snapshot(plan, taken)
            if plan.number == 1:
                raise Killed

        super().run(next_trial, on_step, evaluated, on_end, snapshot)


@pytest.mark.parametrize("saved", [False, True])
def test_a_kill_between_the_decision_and_the_pause(tmp_path: Path, whole: Whole, saved: bool) -> None:
    """The trial is paused; without a snapshot it goes on at once, and is paused there again."""
    engine = KilledAtPause()
    engine.saved = saved
    with pytest.raises(Killed):
        searched(tmp_path / "a", *OPTIONS, engine=engine)
    second = ToyEngine()
    records = searched(tmp_path / "a", *OPTIONS, engine=second)
    assert [plan.number for plan in second.trained][:2] == ([2, 3] if saved else [1, 2])
    assert [one.state for one in records] == [one.state for one in whole.records]
    assert [one.outcome.evals for one in records] == [one.outcome.evals for one in whole.records]
    assert [(one.pauses, one.promotions) for one in records] == [(one.pauses, one.promotions) for one in whole.records]
    if not saved:
        assert comparable(records) == comparable(whole.records)
    else:
        assert isinstance(records[1].outcome, Pruned)
        assert records[1].outcome.cost.steps == records[1].outcome.evals[-1].step


def test_a_pause_that_is_recorded_after_a_kill_has_the_measured_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feasibility, "preflight", lambda *_: Parameters(10**6, 1000, 10**7))
    options = (*OPTIONS, "+study.limits.parameters.trained=5e3", "+study.limits.cost.peak_host_bytes=1e12")
    engine = KilledAtPause()
    engine.saved = True
    with pytest.raises(Killed):
        searched(tmp_path, *options, engine=engine)
    records = searched(tmp_path, *options)
    assert records[1].state == "pruned"
    assert records[1].measured == {"parameters.trained": 1000}, "without a peak, which is not in the snapshot"


def test_a_search_that_ends_early_keeps_its_paused_trials(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stop_study(tmp_path, at(2, 1, interrupt()), Interrupted)
    capsys.readouterr()
    records = searched(tmp_path, *OPTIONS, "study.budget.trials=3")
    assert records == [] or {record.state for record in records} == {"completed"}
    assert "is paused" in capsys.readouterr().err
    assert len(searched(tmp_path, *OPTIONS)) == 5


def test_after_a_timeout_paused_trials_go_on_until_one_has_completed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = searched(tmp_path / "a", *OPTIONS, "study.timeout=0.001", engine=ToyEngine())
    assert records == [] and "trials are" not in capsys.readouterr().err
    stop_study(tmp_path / "b", at(3, 1, interrupt()), Interrupted)
    records = searched(tmp_path / "b", *OPTIONS, "study.timeout=0.001")
    assert [record.state for record in records] == ["completed"]
    assert "3 trials are paused. The same command goes on" in capsys.readouterr().err
    assert len(searched(tmp_path / "b", *OPTIONS)) == 5


def test_the_output_names_pauses_and_promotions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    searched(tmp_path, *OPTIONS)
    said = capsys.readouterr().err
    assert said.count(": paused, eval/accuracy") == 5
    assert said.count(": promoted, with a snapshot after step") == 2
    assert said.count(": pruned, eval/accuracy") == 3


@pytest.mark.parametrize("savable", [True, False], ids=["never", "not savable"])
def test_a_trial_that_cannot_be_paused_is_stopped_for_good(tmp_path: Path, savable: bool) -> None:
    """One whose state turns out not to be savable is judged again at its next evaluation."""
    options = (*OPTIONS, "study.snapshots=never") if savable else OPTIONS
    engine = ToyEngine(savable=savable)
    records = searched(tmp_path, *options, engine=engine)
    assert len(engine.trained) == 5
    expected = "pruned" if savable else "completed"  # the stand-in judges the first evaluation alone
    assert [one.state for one in records] == [expected] * 5
    assert {(one.pauses, one.promotions) for one in records} == {(0, 0)}
    assert all(
        len(one.outcome.evals) == (1 if savable else 3) for one in records if not isinstance(one.outcome, Failed)
    )


def test_the_study_run_counts_paused_trials(tmp_path: Path) -> None:
    with pytest.raises(Interrupted, match="1 trial is put away; 2 trials are paused"):
        searched(tmp_path, *OPTIONS, engine=ToyEngine(at(2, 1, interrupt())))
    last = [row.metrics for row in read_rows(Store(tmp_path / "run").study_dir)][-1]
    assert (last["study/trials_paused"], last["study/trials_put_away"], last["study/trials_running"]) == (2, 1, 0)


@dataclass
class Rows:
    """A run that keeps its rows, and how it was ended each time."""

    address: str
    steps: list[tuple[int, tuple[str, ...]]] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)

    def log(self, step: int, metrics: Metrics) -> None:
        assert not self.ends or self.ends[-1] == "resumed", "a run that has ended takes no row"
        self.steps.append((step, tuple(metrics)))

    def finish(self, ending: Ending) -> None:
        self.ends.append(ending.state)


class Keeping(NullTracker):
    """Keeps the runs of trials by their addresses; a resumed run has all its rows already."""

    def __init__(self) -> None:
        self.runs: dict[str, Rows] = {}

    def open(self, trial: TrialPlan, job_type: JobType = JobType.TRIAL) -> Rows:  # noqa: ARG002
        return self.runs.setdefault(f"run {trial.number}", Rows(f"run {trial.number}"))

    def resume(self, trial: TrialPlan, stopped: StoppedRun) -> Rows:  # noqa: ARG002
        run = self.runs[stopped.address]
        assert run.steps == [(row.step, tuple(row.metrics)) for row in stopped.events]
        run.ends.append("resumed")
        return run


@pytest.mark.parametrize("most", [0, 2, 32])
def test_the_runs_of_the_trials_paused_last_stay_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr("sweep.study.paused_trials._OPEN", most)
    tracker = Keeping()
    with session(tmp_path, *OPTIONS) as opened:
        records = search(replace(opened, tracker=tracker))
    for record in records:
        run = tracker.runs[record.tracker_run]
        again = ["paused", "resumed"] if record.number < 5 - most else []
        assert run.ends == [*again, record.state]
        events = opened.store.events(record.number)
        assert run.steps == [(row.step, tuple(row.metrics)) for row in events]


class Pausing(Killer):
    """Kills at a commit after the first promotion."""

    def arm(self, trial: TrialPlan, epoch: int) -> None:  # noqa: ARG002
        self.armed = self.armed or epoch == 2


def same_after_kills(folder: Path, monkeypatch: pytest.MonkeyPatch, commits: Iterable[int]) -> None:
    use(monkeypatch, PausedAtEach)
    options = ("study.n_trials=3", *OPTIONS[1:])
    whole = searched(folder / "whole", *options)
    for commit in commits:
        killer, place = Pausing(commit), folder / str(commit)
        with killer.watching(), pytest.raises(Killed):
            searched(place, *options, engine=ToyEngine(before=killer.arm))
        records = searched(place, *options)
        assert comparable(records) == comparable(whole), f"killed at commit {commit}"
        assert [(one.pauses, one.promotions) for one in records] == [(2, 2)] * 3, f"killed at commit {commit}"


def test_a_kill_at_a_pause_or_a_promotion_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    same_after_kills(tmp_path, monkeypatch, (1, 2))


@pytest.mark.slow
def test_a_kill_at_any_commit_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    same_after_kills(tmp_path, monkeypatch, range(1, 13))


@pytest.mark.parametrize("value", [None, 1])
def test_samplers_see_paused_trials_as_pruned_ones(value: int | None) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    running, paused, ended = (study.ask({"x": optuna.distributions.IntDistribution(1, 1)}) for _ in range(3))
    for trial in (running, paused):
        trial.report(0.5, 1)
    paused.report(0.75, 4)
    paused.set_user_attr(PAUSED_AT, 1)
    study.tell(ended, 1.0)

    class Seeing(optuna.samplers.RandomSampler):
        def sample_independent(self, study: Any, trial: Any, name: str, distribution: Any) -> Any:  # noqa: ARG002
            seen = {one.number: one.state for one in study._get_trials(deepcopy=False)}
            seen_pruned = [one.number for one in study._get_trials(deepcopy=False, states=(TrialState.PRUNED,))]
            assert study._get_trials(deepcopy=False)[1].intermediate_values == {1: 0.75}
            assert seen_pruned == [paused.number] and [seen[0], seen[2]] == [TrialState.RUNNING, TrialState.COMPLETE]
            return distribution.low

    study.sampler = OwnSampler(Seeing(), None if value is None else "x", value)
    asked = study.ask()
    assert asked.suggest_int("y", 3, 9) == 3
    assert study.trials[1].state is TrialState.RUNNING


def test_a_crash_leaves_a_paused_trial_with_a_snapshot_paused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with session(tmp_path, *OPTIONS) as opened:
        store, run = opened.store, opened.tracker.open(opened.plan.trial(0, {}))
        trial = optuna.create_study().ask()
        one = RunningTrial(trial, opened.plan.trial(0, {}), run, "", 0, RowLog.of(store.trial_dir(0)), taken_up=False)
        store.marks(0).begin()
        with_one, without = Snapshots(store.root, print), Snapshots(store.root / "none", print)
        monkeypatch.setattr(Snapshots, "step", lambda self, _: 5 if self is with_one else 0)
        settled: list[int] = []

        def settle(one: RunningTrial, outcome: object) -> TrialRecord:
            settled.append(one.plan.number)
            return cast(TrialRecord, None)

        for snapshots, pausing in ((with_one, True), (without, True), (with_one, False)):
            one.pausing = pausing
            with (
                pytest.raises(ZeroDivisionError),
                crashes_recorded(store, {0: one}, snapshots, settle, lambda *_: None),
            ):
                1 / 0  # noqa: B018
        assert settled == [0, 0], "the first time it was left as it is"
        assert store.marks(0).state() is not UnfinishedState.KILLED


def test_a_budget_that_ends_the_search_before_a_trial_completed_is_named(tmp_path: Path) -> None:
    with session(tmp_path, *OPTIONS, "study.budget.seconds=5") as opened:
        pruned = TrialRecord(0, {}, Pruned((), Cost()), "", 10, "", "")
        opened.store.write_pause(pruned)
        write_spent(opened.store.root, Spent(seconds=5))
        with pytest.raises(UserError, match=r"study.budget.seconds: is used up: no trial completed.*1 trial is paused"):
            choose(opened, [])


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (
            "study.budget.device_hours=0.001",
            "study.budget.device_hours: is used up: .*; the same command with a larger study.b",
        ),
        ("study.timeout=5", "study.timeout: is 5: no trial completed.*; the same command with more seconds goes on"),
    ],
)
def test_the_limit_of_time_that_left_none_for_a_trial_is_named(tmp_path: Path, typed: str, said: str) -> None:
    with session(tmp_path, *OPTIONS, typed) as opened:
        write_spent(opened.store.root, Spent(seconds=5, device_seconds=5))
        with pytest.raises(UserError, match=said):
            choose(opened, [])


@pytest.mark.parametrize(("own", "kept"), [(None, True), (Cost(), False)])
def test_a_snapshot_of_several_folds_counts_other_steps(
    monkeypatch: pytest.MonkeyPatch, own: Cost | None, kept: bool
) -> None:
    """A snapshot with fewer steps than the last evaluation is older, unless it is of folds, whose
    cost it does not tell."""
    plan, evals = make_trial(Path("base")), [EvalPoint(1, 7, 0.5, {})]
    monkeypatch.setattr(recovery, "saved_cost", lambda _plan: own)
    cost = cost_at_pause(plan, toy_snapshot(0, 6, []), evals)
    assert (cost is not None and cost.steps == 7) is kept
    assert cost_at_pause(plan, None, evals) is None
