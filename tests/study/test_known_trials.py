"""Optuna's cache for a study with one writer: the same trials, with fewer reads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from sweep.study.known_trials import KnownTrials


@pytest.fixture
def known(tmp_path: Path) -> Iterator[KnownTrials]:
    storage = RDBStorage(f"sqlite:///{tmp_path / 'study.db'}")
    yield KnownTrials(storage)
    storage.engine.dispose()


def study_in(storage: Any) -> optuna.Study:
    return optuna.create_study(study_name="toy", storage=storage, load_if_exists=True)


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
