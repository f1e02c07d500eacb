"""`OptunaStudy` alone: points that are asked for, ends that are recorded, and what a reopened
study knows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import BaseStorage
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError

from support.studies import PLAIN
from support.toys import plan
from sweep.records.cost import Cost
from sweep.records.store import Store
from sweep.records.trial import Completed, EvalPoint, Failed, FailureReason, Pruned, TrialRecord
from sweep.search.promotion import EVALUATIONS, PAUSED_AT, RATES, SCHEDULE, Decision, Learning
from sweep.study import optuna_study
from sweep.study.gathered_writes import GatheredWrites
from sweep.study.known_trials import KnownTrials
from sweep.study.optuna_study import OptunaStudy
from sweep.study.owner import known_experiment

RATE = "optimizer.learning_rate"
POINT = EvalPoint(1, 10, 1.0, {"eval/accuracy": 0.5, "eval/loss": 0.7})
DONE = Completed(POINT, (POINT,), Cost())


def lost(*, given_up: bool = False) -> Failed:
    return Failed(FailureReason.LOST, "the process ended", (), Cost(), given_up=given_up)


@contextmanager
def opened(folder: Path, *overrides: str) -> Iterator[OptunaStudy]:
    made = plan(folder, *overrides)
    store = Store(folder / "run")
    store.root.mkdir(parents=True, exist_ok=True)
    with closing(OptunaStudy.open(made.config.study, made.space, store)) as study:
        yield study


def test_points_are_asked_for_in_places_and_lie_in_the_space(tmp_path: Path) -> None:
    with opened(tmp_path, *PLAIN) as study:
        asked = [study.ask() for _ in range(3)]
        assert [study.place(trial.number) for trial, _ in asked] == [0, 1, 2]
        assert study.place(7) is None
        for _, params in asked:
            assert params.keys() == {parameter.key for parameter in study.space}
        assert len({params[RATE] for _, params in asked}) == 3 and study.counted == 0


@pytest.mark.parametrize(
    ("outcome", "state", "value"),
    [
        (DONE, TrialState.COMPLETE, 0.5),
        (Pruned((POINT,), Cost()), TrialState.PRUNED, None),
        (Failed(FailureReason.DIVERGED, "nan", (), Cost()), TrialState.FAIL, None),
        (lost(given_up=True), TrialState.FAIL, None),
    ],
)
def test_an_end_counts_unless_the_point_is_retried(
    tmp_path: Path, outcome: Completed | Pruned | Failed, state: TrialState, value: float | None
) -> None:
    with opened(tmp_path, *PLAIN) as study:
        trial, params = study.ask()
        Store(tmp_path / "run").write_trial(TrialRecord(trial.number, params, outcome, "", 10, "", ""))
        study.tell(trial, outcome)
        (ended,) = study.ended()
        assert (ended.state, ended.value, study.counted) == (state, value, 1)
        assert study.study.waiting() == []
    with opened(tmp_path, *PLAIN) as again:
        assert again.counted == 1


def test_a_retried_point_is_asked_for_next_with_its_place(tmp_path: Path) -> None:
    with opened(tmp_path, *PLAIN) as study:
        (first, params), _ = study.ask(), study.ask()
        study.tell(first, lost())
        assert study.counted == 0
        again, same = study.ask()
        assert (same, again.number, study.place(again.number)) == (params, 2, 0)


def test_waiting_points_are_counted_after_each_ask_and_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers ask for their number at every step."""
    rest = "optimizer.weight_decay: 0, optimizer.warmup_steps: 0.1, trainer.per_device_train_batch_size: 8"
    point = f"{{{{{RATE}: {{}}, {rest}, trainer.num_train_epochs: 3}}}}"
    enqueued = f"study.enqueue=[{point.format('1.0e-3')},{point.format('2.0e-3')}]"
    usual, reads = OptunaStudy._trials, list[object]()

    def read(study: OptunaStudy, *states: Any) -> Any:
        reads.append(states)
        return usual(study, *states)

    with opened(tmp_path, *PLAIN, enqueued) as study:
        monkeypatch.setattr(OptunaStudy, "_trials", read)
        assert [study.complete_points() for _ in range(9)] == [2] * 9 and len(reads) == 1
        trial, _ = study.ask()
        assert [study.complete_points() for _ in range(9)] == [1] * 9
        study.tell(trial, lost())
        reads.clear()
        assert [study.complete_points() for _ in range(9)] == [2] * 9 and len(reads) == 1


def test_a_trial_that_is_lost_three_times_at_one_step_is_given_up(tmp_path: Path) -> None:
    with opened(tmp_path, *PLAIN) as study:
        trial, _ = study.ask()
        assert [study.lost(trial, step, together=1) for step in (5, 10, 10)] == [False] * 3
    with opened(tmp_path, *PLAIN) as again:
        ((trial, _),) = again.left_running()
        assert again.lost(trial, 10, together=1)


def test_losses_together_share_the_blame(tmp_path: Path) -> None:
    with opened(tmp_path, *PLAIN) as study:
        trial, _ = study.ask()
        assert [study.lost(trial, 5, together=3) for _ in range(9)] == [False] * 8 + [True]


def test_trials_of_a_killed_process_are_found_running(tmp_path: Path) -> None:
    with opened(tmp_path, *PLAIN) as study:
        _, params = study.ask()
    with opened(tmp_path, *PLAIN) as again:
        ((trial, frozen),) = again.left_running()
        assert frozen.params == params
        again.tell(trial, lost())
        assert list(again.left_running()) == []


def test_a_kill_while_a_point_is_asked_for_leaves_no_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with opened(tmp_path, *PLAIN) as study, monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(optuna_study, "suggest", killed)
        study.ask()
    with opened(tmp_path, *PLAIN) as again:
        assert again.study.get_trials() == []


@pytest.mark.parametrize(
    ("owner", "name"), [(KnownTrials, "_others"), (GatheredWrites, "_write")], ids=["before the decision", "at the end"]
)
def test_a_report_that_is_repeated_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: type, name: str
) -> None:
    """The trial of Optuna keeps what a transaction that failed has set."""
    usual, failed = getattr(owner, name), list[int]()

    def failing(self: object, asked: object) -> object:
        if not failed:
            failed.append(1)
            raise OperationalError(name, None, Exception("the server is away"))
        return usual(self, asked)

    with opened(tmp_path, "study.pruner=racing", "study.sampler=random", "study.n_trials=2") as study:
        assert study.promotes
        (trial, _), _ = study.ask(), study.ask()
        monkeypatch.setattr(owner, name, failing)
        learning = Learning(progress=0.25, rates=0.01, schedule=3, loss=None)
        decided = study.report(trial, [0.5], 1, learning=learning, judged=True, warm=True)
        assert failed
    (told, _) = optuna.load_study(study_name="quickstart", storage=f"sqlite:///{tmp_path / 'run' / 'study.db'}").trials
    assert decided is Decision.PAUSE and told.intermediate_values == {1: 0.5}
    known = {name: told.user_attrs.get(name) for name in (SCHEDULE, RATES, EVALUATIONS, PAUSED_AT)}
    assert known == {SCHEDULE: 3, RATES: 0.01, EVALUATIONS: {"1": [0.25, None]}, PAUSED_AT: 1}


def test_a_decision_whose_answer_was_lost_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Successive halving notes that a trial has passed a rung, and lets it go on when it is asked
    again."""
    with opened(tmp_path, "study.pruner=successive_halving", "study.sampler=random", "study.n_trials=3") as study:
        (better, _), (worse, _) = study.ask(), study.ask()
        assert study.report(better, [0.75], 1, judged=True, warm=True) is Decision.GO_ON
        lost = lose_an_answer(monkeypatch)
        assert study.report(worse, [0.25], 1, judged=True, warm=True) is Decision.STOP
    assert lost


def lose_an_answer(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let the storage commit the next transaction, and its answer be lost. The returned list has
    an entry as soon as that has happened."""
    usual, lost = optuna_study.transaction, list[int]()

    @contextmanager
    def answer_lost(storage: BaseStorage) -> Iterator[None]:
        with usual(storage):
            yield
        if not lost:
            lost.append(1)
            raise OperationalError("COMMIT", None, Exception("the server is away"))

    monkeypatch.setattr(optuna_study, "transaction", answer_lost)
    return lost


def test_each_point_of_a_grid_is_asked_for_once_where_an_answer_was_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trial that was asked for is opened again, and keeps its point."""
    with opened(tmp_path, "study.sampler=grid", "study.space=grid", "study.n_trials=9", *PLAIN) as study:
        found = [study.ask()[1] for _ in range(3)]
        lost = lose_an_answer(monkeypatch)
        found += [study.ask()[1] for _ in range(6)]
    assert lost and len({str(sorted(point.items())) for point in found}) == 9


def test_a_grid_wants_no_more_trials_than_it_has_points(tmp_path: Path) -> None:
    grid = ("study.sampler=grid", "study.space=grid", *PLAIN)
    for trials, wanted in ((50, 9), (4, 4)):
        with opened(tmp_path / str(trials), *grid, f"study.n_trials={trials}") as study:
            assert study.wanted == wanted


def test_compared_values_get_equally_many_trials(tmp_path: Path) -> None:
    with opened(tmp_path, "study.space=adapters", "study.compare_by=adapter", *PLAIN) as study:
        values = [study.ask()[1]["adapter"] for _ in range(6)]
    assert values[:3] == values[3:] == ["lora", "ia3", "head"]


def test_the_experiment_of_a_storage_without_a_study_is_unknown(tmp_path: Path) -> None:
    config = plan(tmp_path, *PLAIN).config.study
    assert known_experiment(config, Store(tmp_path / "run")) == ""
