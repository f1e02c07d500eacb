"""Optuna's cache for a study with one writer: the same trials, with fewer reads."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy import event

from sweep.study.known_trials import KnownTrials
from sweep.study.transactions import forget_trials, transaction


@pytest.fixture
def known(tmp_path: Path) -> Iterator[KnownTrials]:
    storage = RDBStorage(f"sqlite:///{tmp_path / 'study.db'}")
    yield KnownTrials(storage)
    storage.engine.dispose()


@pytest.fixture
def _away_from_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "Asia/Kolkata")
        time.tzset()
        yield
    time.tzset()


def study_in(storage: Any) -> optuna.Study:
    return optuna.create_study(study_name="toy", storage=storage, load_if_exists=True)


@contextmanager
def written_together(known: KnownTrials) -> Iterator[None]:
    with transaction(known._backend), known.gathered():
        yield


@contextmanager
def counted_statements(known: KnownTrials) -> Iterator[list[str]]:
    found: list[str] = []

    def count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        found.append(statement)

    event.listen(known._backend.engine, "before_cursor_execute", count)
    yield found
    event.remove(known._backend.engine, "before_cursor_execute", count)


def test_all_writes_of_this_process_are_seen(known: KnownTrials) -> None:
    study, plain = study_in(known), study_in(known._backend)
    for number in range(3):
        trial = study.ask()
        trial.suggest_float("x", 0.0, 1.0)
        trial.report(0.1 * number, 1)
        trial.set_user_attr("place", number)
        assert study.get_trials() == plain.get_trials()
        trial.report(0.2, 2)
        if number != 1:
            study.tell(trial, 0.5)
        assert study.get_trials() == plain.get_trials()
    assert [trial.state for trial in study.get_trials()].count(TrialState.RUNNING) == 1


def test_only_trials_that_were_written_are_read_again(known: KnownTrials, monkeypatch: pytest.MonkeyPatch) -> None:
    study = study_in(known)
    trials = [study.ask() for _ in range(4)]
    study.get_trials()
    read, usual = list[int](), known._backend._get_trials

    def counted(*args: Any, **kwargs: Any) -> Any:
        found = usual(*args, **kwargs)
        read.extend(trial.number for trial in found)
        return found

    monkeypatch.setattr(known._backend, "_get_trials", counted)
    study.get_trials()
    assert read == []
    trials[2].report(0.5, 1)
    study.get_trials()
    study.get_trials()
    assert read == [2]


def test_a_trial_that_another_program_adds_is_found(known: KnownTrials) -> None:
    study, other = study_in(known), study_in(known._backend)
    study.ask()
    study.get_trials()
    other.enqueue_trial({"x": 0.25})
    assert [trial.state for trial in study.get_trials()] == [TrialState.RUNNING, TrialState.WAITING]


def test_everything_is_read_again_once_it_is_forgotten(known: KnownTrials) -> None:
    study, other = study_in(known), study_in(known._backend)
    study.ask()
    assert study.get_trials()[0].user_attrs == {}
    other._storage.set_trial_user_attr(study.get_trials()[0]._trial_id, "from", "elsewhere")
    assert study.get_trials()[0].user_attrs == {}
    known.forget()
    assert study.get_trials()[0].user_attrs == {"from": "elsewhere"}


@pytest.mark.usefixtures("_away_from_utc")
def test_what_is_written_together_is_known_at_once_and_the_same_in_the_database(known: KnownTrials) -> None:
    study, plain = study_in(known), study_in(known._backend)
    for number in range(3):
        with written_together(known):
            trial = study.ask()
            trial.suggest_categorical("kind", ("a", "b"))
            trial.suggest_float("x", 0.0, 1.0, log=False)
            trial.suggest_int("n", 1, 8, log=True)
            trial.set_user_attr("place", number)
            at_once = study.get_trials()
        assert at_once == study.get_trials() == plain.get_trials()
    with written_together(known):
        for step, score in enumerate((0.5, math.inf, -math.inf)):
            trial.report(score, step)
        trial.set_user_attr("place", {"9": [1, None]})
        trial.set_user_attr("new", (1, 2))
        study._storage.set_trial_system_attr(trial._trial_id, "constraint:x", 0.5)
        known.set_trial_intermediate_value(trial._trial_id, 0, 0.75)
        at_once = study.get_trials()
        assert at_once[-1].user_attrs == {"place": {"9": [1, None]}, "new": [1, 2]}
        assert at_once[-1].intermediate_values == {0: 0.75, 1: math.inf, 2: -math.inf}
    assert at_once == study.get_trials() == plain.get_trials()
    with written_together(known):
        trial.set_user_attr("place", 7)
        study.tell(trial, 0.5)
    assert study.get_trials() == plain.get_trials()
    assert study.get_trials()[-1].user_attrs["place"] == 7 and study.get_trials()[-1].value == 0.5


def test_a_look_at_the_trials_does_not_divide_what_is_written_together(known: KnownTrials) -> None:
    study, plain = study_in(known), study_in(known._backend)
    trial = study.ask()
    study.get_trials()
    with counted_statements(known) as statements, written_together(known):
        trial.set_user_attr("before", 1)
        assert study.get_trials()[0].user_attrs == {"before": 1}
        trial.set_user_attr("after", 2)
    assert sum(one.startswith("INSERT INTO trial_user_attributes") for one in statements) == 1
    assert study.get_trials() == plain.get_trials()


def test_the_best_trial_is_one_whose_end_is_written_together_with_others(known: KnownTrials) -> None:
    study = study_in(known)
    study.tell(study.ask(), 0.5)
    study.get_trials()
    with written_together(known):
        study.tell(study.ask(), 0.25)
        assert study.best_trial.number == 1


def test_the_statements_of_a_trial_do_not_grow_with_its_values(known: KnownTrials) -> None:
    study, counts = study_in(known), []
    for attributes in (1, 1, 10):
        with counted_statements(known) as statements, written_together(known):
            trial = study.ask()
            trial.suggest_float("x", 0.0, 1.0)
            for number in range(attributes):
                trial.set_user_attr(f"name{number}", number)
                study.get_trials()
        counts.append(len(statements))
    assert counts[0] > counts[1] == counts[2] < 12


def test_a_trial_that_was_known_before_is_as_it_was(known: KnownTrials) -> None:
    study = study_in(known)
    trial = study.ask()
    before = study.get_trials(deepcopy=False)[0]
    with written_together(known):
        trial.set_user_attr("place", 1)
        trial.report(0.5, 1)
    assert before.user_attrs == {} and before.intermediate_values == {}


def test_nothing_is_written_after_an_error(known: KnownTrials) -> None:
    study, plain = study_in(known), study_in(known._backend)
    trial = study.ask()
    with pytest.raises(ZeroDivisionError), written_together(known):
        trial.set_user_attr("place", 1)
        raise ZeroDivisionError
    forget_trials(study)
    assert study.get_trials()[0].user_attrs == plain.get_trials()[0].user_attrs == {}
    with written_together(known):
        trial.set_user_attr("place", 2)
    assert plain.get_trials()[0].user_attrs == {"place": 2}


def test_a_trial_that_another_process_has_ended_is_not_changed(known: KnownTrials) -> None:
    study, other = study_in(known), study_in(known._backend)
    trial = study.ask()
    study.get_trials()
    other.tell(0, 0.5)
    with pytest.raises(UpdateFinishedTrialError, match="trial 0"), written_together(known):
        trial.set_user_attr("place", 1)
    assert other.get_trials()[0].user_attrs == {}


def test_a_trial_that_another_program_adds_before_ours_is_found(known: KnownTrials) -> None:
    study, other = study_in(known), study_in(known._backend)
    study.ask()
    study.get_trials()
    other.enqueue_trial({"x": 0.25})
    known.create_new_trial(study._study_id)
    assert [trial.state for trial in study.get_trials()] == [
        TrialState.RUNNING, TrialState.WAITING, TrialState.RUNNING
    ]  # fmt: skip
