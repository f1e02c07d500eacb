"""Trials that are stopped, and go on from their snapshots under their own numbers."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest

from support.studies import PLAIN, Undisturbed, Whole, points, searched
from support.toys import ToyEngine, session
from sweep.config.schema import Scalar
from sweep.errors import Interrupted
from sweep.launch.kept_snapshots import Kept, kept_key
from sweep.records.cost import Cost
from sweep.records.marks import Marks
from sweep.records.snapshots import FOLDER, Snapshots, trial_key
from sweep.records.store import Store
from sweep.records.trial import EvalPoint, Failed, FailureReason, Outcome, TrialPlan, TrialRecord, Verdict
from sweep.study.attributes import LOSSES
from sweep.study.optuna_study import OptunaStudy
from sweep.study.search import _Loop, search


class Killed(BaseException):
    """An exception that no handler catches, like SIGKILL."""


def at(number: int, epoch: int, action: Callable[[], None]) -> Callable[[TrialPlan, int], None]:
    """Return a hook that acts before an epoch of a trial."""
    return lambda trial, coming: action() if (trial.number, coming) == (number, epoch) else None


def interrupt(times: int = 1) -> Callable[[], None]:
    def send() -> None:
        for _ in range(times):
            os.kill(os.getpid(), signal.SIGTERM)

    return send


def kill() -> None:
    raise Killed


def comparable(records: list[TrialRecord]) -> list[TrialRecord]:
    return [replace(record, started="", finished="") for record in records]


def same_as_whole(folder: Path, whole: Whole, records: list[TrialRecord]) -> None:
    """Assert that a study whose trials were stopped equals one without stops: records, rows, and
    Optuna's trials."""
    assert [replace(record, command="") for record in comparable(records)] == [
        replace(record, command="") for record in comparable(whole.records)
    ]
    for record in whole.records:
        assert Store(folder / "run").events(record.number) == Store(whole.folder / "run").events(record.number)
    ours, theirs = (
        optuna.load_study(study_name="quickstart", storage=f"sqlite:///{one / 'run' / 'study.db'}").trials
        for one in (folder, whole.folder)
    )
    assert [(one.state, one.params, one.intermediate_values, one.value) for one in ours] == [
        (one.state, one.params, one.intermediate_values, one.value) for one in theirs
    ]
    assert not [path for path in (folder / "run").rglob("*") if path.parent.name == FOLDER or path.suffix == ".tmp"]


@pytest.mark.parametrize("pruner", ["none", "racing", "median", "successive_halving"])
def test_an_interrupted_study_ends_as_one_that_never_stopped(
    tmp_path: Path, undisturbed: Undisturbed, pruner: str
) -> None:
    options = ("study.n_trials=5", f"study.pruner={pruner}", "study.sampler=random", "trainer.eval_strategy=epoch")
    with pytest.raises(Interrupted, match=r"3 of 5 trials are done.*; 1 trial is put away\. The same command"):
        searched(tmp_path / "b", *options, engine=ToyEngine(at(3, 2, interrupt())))
    engine = ToyEngine()
    resumed = searched(tmp_path / "b", *options, engine=engine)
    assert [(plan.number, plan.snapshot is not None) for plan in engine.trained] == [(3, True), (4, False)]
    same_as_whole(tmp_path / "b", undisturbed(*options), resumed)


@pytest.mark.parametrize("snapshots", [True, False])
@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_a_killed_trial_goes_on_under_its_number(
    tmp_path: Path, undisturbed: Undisturbed, snapshots: bool, epoch: int
) -> None:
    options = ("study.n_trials=3", *PLAIN)
    with pytest.raises(Killed):
        searched(tmp_path / "b", *options, engine=ToyEngine(at(1, epoch, kill), snapshots=snapshots))
    engine = ToyEngine()
    resumed = searched(tmp_path / "b", *options, engine=engine)
    first = engine.trained[0]
    assert (first.number, first.snapshot is not None) == (1, snapshots and epoch > 1)
    same_as_whole(tmp_path / "b", undisturbed(*options), resumed)


def test_a_second_interrupt_stops_at_once_and_is_no_loss(tmp_path: Path, undisturbed: Undisturbed) -> None:
    for _ in range(4):
        with pytest.raises(KeyboardInterrupt):
            searched(tmp_path / "b", "study.n_trials=2", *PLAIN, engine=ToyEngine(at(1, 2, interrupt(2))))
    resumed = searched(tmp_path / "b", "study.n_trials=2", *PLAIN)
    same_as_whole(tmp_path / "b", undisturbed("study.n_trials=2", *PLAIN), resumed)


def test_a_trial_goes_on_here_from_the_snapshot_that_a_worker_of_this_machine_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWEEP_CACHE", str(tmp_path / "cache"))
    options = ("study.n_trials=1", "study.space=null", "adapter=full", "study.snapshots=always", *PLAIN)
    with pytest.raises(Interrupted):
        searched(tmp_path, *options, engine=ToyEngine(at(0, 2, interrupt())))
    store = Store(tmp_path / "run")
    own, engine = Snapshots(store.root), ToyEngine()
    with session(tmp_path, *options, engine=engine) as opened:
        kept = Kept(store.identity(), kept_key(opened.plan.trial(0, {})))
        found = own.read(trial_key(0))
        assert found is not None and kept.snapshots.write(kept.key, found)
        own.drop(trial_key(0))
        search(replace(opened, launcher=SimpleNamespace(inline=True)))
    assert [plan.snapshot for plan in engine.trained] == [found]
    assert kept.snapshots.keys() == own.keys() == []


def test_an_interrupted_trial_has_no_record_and_keeps_its_best_folder(tmp_path: Path) -> None:
    with pytest.raises(Interrupted, match="0 of 2 trials"):
        searched(tmp_path, "study.n_trials=2", *PLAIN, engine=ToyEngine(at(0, 3, interrupt())))
    store = Store(tmp_path / "run")
    assert store.trials() == [] and len(store.events(0)) == 5
    assert Snapshots(store.root).keys() == ["trial-0000"]
    assert not (store.trial_dir(0) / "running").exists()


def test_trials_that_go_on_come_first_and_count_once(tmp_path: Path, undisturbed: Undisturbed) -> None:
    options = ("study.n_trials=6", "study.sampler=random", *PLAIN)
    with pytest.raises(Interrupted):
        searched(tmp_path / "b", *options, engine=ToyEngine(at(2, 2, interrupt()), slots=3))
    engine = ToyEngine(slots=2)
    resumed = searched(tmp_path / "b", *options, engine=engine)
    assert [plan.number for plan in engine.trained] == [0, 1, 2, 3, 4, 5]
    assert points(resumed) == points(undisturbed(*options).records)


def test_trials_stay_put_away_where_no_more_are_wanted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Interrupted):
        searched(tmp_path, "study.n_trials=4", *PLAIN, engine=ToyEngine(at(2, 2, interrupt())))
    capsys.readouterr()
    assert len(searched(tmp_path, "study.n_trials=2", *PLAIN)) == 2
    assert "1 trial is put away" in capsys.readouterr().err
    assert len(searched(tmp_path, "study.n_trials=3", *PLAIN)) == 3


def test_rows_that_come_out_otherwise_replace_the_earlier_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A training that began anew with other versions of packages may take another course."""
    options = ("study.n_trials=1", *PLAIN)
    with pytest.raises(Killed):
        searched(tmp_path, *options, engine=ToyEngine(at(0, 3, kill), snapshots=False))
    record = searched(tmp_path, *options, engine=ToyEngine(luck=lambda _: 0.05))[0]
    rows = Store(tmp_path / "run").events(0)
    assert [row for row in rows if isinstance(row, EvalPoint)] == list(record.outcome.evals)
    assert len(rows) == 6
    assert capsys.readouterr().err.count("came out otherwise than before the stop") == 1
    study = optuna.load_study(study_name="quickstart", storage=f"sqlite:///{tmp_path / 'run' / 'study.db'}")
    scores = [point.metrics["eval/accuracy"] for point in record.outcome.evals]
    assert list(study.trials[0].intermediate_values.values()) == scores


def test_a_row_that_was_cut_off_costs_no_other_row(tmp_path: Path, undisturbed: Undisturbed) -> None:
    options = ("study.n_trials=1", *PLAIN)
    with pytest.raises(Killed):
        searched(tmp_path / "b", *options, engine=ToyEngine(at(0, 3, kill)))
    with (tmp_path / "b" / "run" / "trials" / "0000" / "events.jsonl").open("a") as file:
        file.write('{"type": "train", "st')
    resumed = searched(tmp_path / "b", *options)
    same_as_whole(tmp_path / "b", undisturbed(*options), resumed)


def test_a_damaged_snapshot_is_told_and_the_trial_begins_anew(
    tmp_path: Path, undisturbed: Undisturbed, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("study.n_trials=1", *PLAIN)
    with pytest.raises(Killed):
        searched(tmp_path / "b", *options, engine=ToyEngine(at(0, 3, kill)))
    (tmp_path / "b" / "run" / "snapshots" / "trial-0000.safetensors").write_bytes(b"\0" * 99)
    engine = ToyEngine()
    resumed = searched(tmp_path / "b", *options, engine=engine)
    assert engine.trained[0].snapshot is None
    assert "trial 0000 begins anew" in capsys.readouterr().err
    same_as_whole(tmp_path / "b", undisturbed(*options), resumed)


def test_a_snapshot_of_a_study_whose_storage_is_gone_is_not_gone_on_from(tmp_path: Path) -> None:
    """Another study gives its trials the same numbers."""
    options = ("study.n_trials=1", *PLAIN)
    with pytest.raises(Interrupted):
        searched(tmp_path, *options, engine=ToyEngine(at(0, 2, interrupt())))
    (tmp_path / "run" / "study.db").unlink()
    with pytest.raises(Killed):
        searched(tmp_path, *options, engine=ToyEngine(at(0, 1, kill)))
    engine = ToyEngine()
    searched(tmp_path, *options, engine=engine)
    assert [trial.snapshot for trial in engine.trained] == [None]


def test_a_kill_between_a_verdict_and_the_record_prunes_the_trial_again(tmp_path: Path) -> None:
    """The pruner that is asked anew would find its rung passed."""
    options = (
        "study.n_trials=3",
        "study.pruner=successive_halving",
        "study.sampler=random",
        "trainer.eval_strategy=epoch",
    )
    luck = {0: 0.0, 1: -0.5, 2: 0.1}

    class AtPrune(ToyEngine):
        def run(self, next_trial: Any, on_step: Any, on_eval: Any, on_end: Any, on_snapshot: Any = None) -> None:
            def evaluated(plan: TrialPlan, point: EvalPoint) -> Verdict:
                verdict: Verdict = on_eval(plan, point)
                if verdict is Verdict.PRUNE:
                    raise Killed
                return verdict

            super().run(next_trial, on_step, evaluated, on_end, on_snapshot)

    def engine(kind: type[ToyEngine]) -> ToyEngine:
        return kind(luck=lambda trial: luck[trial.number])

    with pytest.raises(Killed):
        searched(tmp_path / "b", *options, engine=engine(AtPrune))
    resumed = searched(tmp_path / "b", *options, engine=engine(ToyEngine))
    whole = searched(tmp_path / "a", *options, engine=engine(ToyEngine))
    assert [record.state for record in resumed] == [record.state for record in whole]
    assert resumed[1].state == "pruned" and resumed[1].outcome.evals == whole[1].outcome.evals


class Preempted(ToyEngine):
    """Its worker is told to stop before an epoch of trial 1, and another one takes its place."""

    def _train(self, trial: TrialPlan, on_step: Any, on_eval: Any, on_snapshot: Any = None) -> Any:
        training = super()._train(trial, on_step, on_eval, on_snapshot)
        if trial.number == 1 and trial.snapshot is None:
            next(training)
            yield
            return Failed(FailureReason.INTERRUPTED, "its worker was told to stop", (), Cost())
        return (yield from training)


def test_a_trial_whose_worker_is_told_to_stop_goes_on_at_another(
    tmp_path: Path, undisturbed: Undisturbed, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("study.n_trials=3", "study.sampler=random", *PLAIN)
    engine = Preempted()
    records = searched(tmp_path / "b", *options, engine=engine)
    assert [plan.number for plan in engine.trained] == [0, 1, 1, 2]
    assert "trial 1: put away, its worker was told to stop" in capsys.readouterr().err
    same_as_whole(tmp_path / "b", undisturbed(*options), records)


class Losing(ToyEngine):
    """Loses a trial in place of its epochs, as a worker that dies does: as often as `losses` has
    entries for it, after so many of its evaluations."""

    def __init__(self, losses: dict[int, list[int]], *, together: int = 1, **options: Any) -> None:
        super().__init__(**options)
        self.losses, self.count = losses, together

    def _train(self, trial: TrialPlan, on_step: Any, on_eval: Any, on_snapshot: Any = None) -> Any:
        left = self.losses.get(trial.number, [])
        at_eval = left.pop(0) if left else None
        made = 0

        def evaluated(plan: TrialPlan, point: EvalPoint) -> Verdict:
            nonlocal made
            verdict: Verdict = on_eval(plan, point)
            made = point.index
            return verdict

        training = super()._train(trial, on_step, evaluated, on_snapshot)
        while made != at_eval:
            try:
                next(training)
            except StopIteration as ended:
                outcome: Outcome = ended.value
                return outcome
            yield
        return Failed(FailureReason.LOST, "its worker died", (), Cost(), together=self.count)


def test_a_trial_that_its_worker_lost_goes_on_at_once(
    tmp_path: Path, undisturbed: Undisturbed, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("study.n_trials=3", "study.sampler=random", *PLAIN)
    engine = Losing({1: [1, 2]})
    records = searched(tmp_path / "b", *options, engine=engine)
    assert [plan.number for plan in engine.trained] == [0, 1, 1, 1, 2]
    steps = [record.step for record in Store(tmp_path / "b" / "run").events(1) if isinstance(record, EvalPoint)]
    assert [plan.snapshot.step for plan in engine.trained if plan.snapshot] == steps[:2]
    assert "trial 1: lost, its worker died; it goes on" in capsys.readouterr().err
    same_as_whole(tmp_path / "b", undisturbed(*options), records)


def test_a_point_that_is_lost_three_times_without_getting_further_is_given_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = Losing({0: [0, 0, 0]}, snapshots=False)
    records = searched(tmp_path, "study.n_trials=2", *PLAIN, engine=engine)
    assert [(record.number, record.state) for record in records] == [(0, "lost"), (1, "completed")]
    outcome = records[0].outcome
    assert isinstance(outcome, Failed) and outcome.given_up and not outcome.again
    assert "lost three times without getting further" in outcome.message
    assert "trial 0: lost, its worker died; it was lost three times" in capsys.readouterr().err
    assert [plan.number for plan in engine.trained] == [0, 0, 0, 1]


def test_trials_that_are_lost_together_share_the_blame(tmp_path: Path) -> None:
    engine = Losing({0: [0] * 11}, together=4, snapshots=False)
    records = searched(tmp_path, "study.n_trials=1", *PLAIN, engine=engine)
    assert records[0].state == "completed" and len(engine.trained) == 12
    engine = Losing({1: [0] * 12}, together=4, snapshots=False)
    assert searched(tmp_path, "study.n_trials=2", *PLAIN, engine=engine)[1].state == "lost"


def die(folder: Path, trials: int, *, begun: bool = True) -> list[dict[str, Scalar]]:
    """Leave what a process leaves that is killed while it trains this many trials. Return their
    points."""
    with session(folder, *PLAIN) as opened:
        optuna_study = OptunaStudy.open(opened.plan.config.study, opened.plan.space, opened.store)
        loop = _Loop(opened, optuna_study)
        loop.recover()
        asked = [(stopped.number, dict(stopped.params)) for stopped in loop.unfinished.waiting]
        while len(asked) < trials:
            trial, params = optuna_study.ask()
            asked.append((trial.number, params))
        for number, _ in asked[:trials]:
            if begun:
                opened.store.marks(number).begin()
        optuna_study.close()
    return [params for _, params in asked]


def test_a_point_that_takes_the_process_down_three_times_is_given_up(tmp_path: Path) -> None:
    for _ in range(3):
        die(tmp_path, 1)
    records = searched(tmp_path, "study.n_trials=2", *PLAIN)
    assert [record.state for record in records] == ["lost", "completed"]
    outcome = records[0].outcome
    assert isinstance(outcome, Failed) and outcome.given_up
    assert records[0].params != records[1].params


def test_a_point_is_not_given_up_for_what_others_may_have_done(tmp_path: Path) -> None:
    found = [die(tmp_path, 2) for _ in range(5)]
    assert found == [found[0]] * 5
    records = searched(tmp_path, "study.n_trials=2", *PLAIN)
    assert [record.state for record in records] == ["completed", "completed"]
    assert [record.params for record in records] == found[0]


@pytest.mark.parametrize("place", [(OptunaStudy, "lost"), (Marks, "clear")], ids=["counting", "deleting marks"])
@pytest.mark.parametrize("done", [0, 1, 2])
def test_a_kill_while_losses_are_counted_counts_each_of_them_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: tuple[type, str], done: int
) -> None:
    die(tmp_path, 3)
    usual, left = getattr(*place), done

    def dying(*given: Any, **options: Any) -> Any:
        nonlocal left
        if not left:
            raise Killed
        left -= 1
        return usual(*given, **options)

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(*place, dying)
        die(tmp_path, 3, begun=False)
    die(tmp_path, 3, begun=False)
    study = optuna.load_study(study_name="quickstart", storage=f"sqlite:///{tmp_path / 'run' / 'study.db'}")
    assert [trial.user_attrs[LOSSES] for trial in study.trials] == pytest.approx([1 / 3] * 3)


def test_a_loss_of_a_worker_is_not_counted_again_after_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The coordinator dies after the loss is counted, and before the trial's mark is deleted."""

    def dying(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(_Loop, "_put_away", dying)
        searched(tmp_path, "study.n_trials=1", *PLAIN, engine=Losing({0: [0]}, snapshots=False))
    die(tmp_path, 1, begun=False)
    study = optuna.load_study(study_name="quickstart", storage=f"sqlite:///{tmp_path / 'run' / 'study.db'}")
    assert study.trials[0].user_attrs[LOSSES] == 1


def test_a_process_that_dies_before_its_trial_begins_says_nothing_about_the_point(tmp_path: Path) -> None:
    points = [die(tmp_path, 1, begun=False) for _ in range(4)]
    records = searched(tmp_path, "study.n_trials=1", *PLAIN)
    assert [record.state for record in records] == ["completed"]
    assert points == [[records[0].params]] * 4


def test_the_times_of_a_trial_that_goes_on_begin_where_it_was_asked_for(tmp_path: Path) -> None:
    die(tmp_path, 1)
    record = searched(tmp_path, "study.n_trials=1", *PLAIN)[0]
    assert datetime.fromisoformat(record.started).tzinfo is not None
    study = optuna.load_study(study_name="quickstart", storage=f"sqlite:///{tmp_path / 'run' / 'study.db'}")
    assert study.trials[0].datetime_start is not None
    assert abs(datetime.fromisoformat(record.started).timestamp() - study.trials[0].datetime_start.timestamp()) < 1


def test_a_snapshot_is_dropped_once_its_trial_has_a_record(tmp_path: Path) -> None:
    """The process may die in between."""
    searched(tmp_path, "study.n_trials=1", *PLAIN)
    engine = ToyEngine()
    with session(tmp_path, "study.n_trials=2", *PLAIN, engine=engine) as opened:
        snapshots = Snapshots(opened.store.root)
        with pytest.raises(Killed):
            search(replace(opened, toy=ToyEngine(at(1, 2, kill))))
        held = snapshots.read(trial_key(1))
        assert held is not None
        snapshots.write(trial_key(0), held)
        search(opened)
        assert snapshots.keys() == []
