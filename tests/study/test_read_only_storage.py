from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial
from sqlalchemy import make_url

from support.postgres import Server
from sweep.errors import UserError
from sweep.study.read_only_storage import ReadOnlyStorage, RefusedError, open_read_only
from sweep.study.storage import open_storage, without_mask


class Labels:
    def study_user_attributes(self) -> dict[str, Any]:
        return {"report": "/report"}

    def study_attributes(self, trials: Sequence[FrozenTrial]) -> dict[str, Any]:
        return {"counted": len(trials)}

    def trial_attributes(self, trial: FrozenTrial) -> dict[str, Any]:
        return {"trial": f"trial {trial.number}"}


def running(address: str, values: Sequence[float] = (0.5,)) -> optuna.Study:
    study = optuna.create_study(study_name="toy", storage=open_storage(address), direction="maximize")
    for value in values:
        study.tell(study.ask({"x": optuna.distributions.FloatDistribution(0, 1)}), value)
    return study


def closed(study: optuna.Study) -> None:
    assert isinstance(study._storage, optuna.storages._CachedStorage)
    study._storage._backend.engine.dispose()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    folder = tmp_path / "a run"
    folder.mkdir()
    return folder / "study.db"


def opened(file: Path) -> ReadOnlyStorage:
    return open_read_only(f"sqlite:///{file}", "toy", Labels())


def test_a_running_study_is_read_as_it_goes_on(file: Path) -> None:
    study = running(f"sqlite:///{file}")
    shown = opened(file)
    assert [trial.value for trial in shown.get_all_trials(shown.study_id)] == [0.5]
    study.tell(study.ask(), 0.75)
    assert [trial.value for trial in shown.get_all_trials(shown.study_id)] == [0.5, 0.75]
    assert shown.get_best_trial(shown.study_id).value == 0.75
    closed(study)
    assert [path.name for path in file.parent.iterdir()] == ["study.db"], "the study could merge its log at its end"


def test_a_study_that_ended_is_left_as_it_is(file: Path) -> None:
    closed(running(f"sqlite:///{file}"))
    before = file.read_bytes()
    shown = opened(file)
    assert shown.get_n_trials(shown.study_id) == 1
    shown.remove_session()
    assert [path.name for path in file.parent.iterdir()] == ["study.db"] and file.read_bytes() == before


def test_whatever_writes_is_refused_by_the_database_too(file: Path) -> None:
    study = running(f"sqlite:///{file}")
    shown = opened(file)
    with pytest.raises(RefusedError):
        shown.delete_study(shown.study_id)
    with pytest.raises(RefusedError):
        shown.set_trial_user_attr(0, "a", 1)
    with pytest.raises(optuna.exceptions.StorageInternalError):
        shown._source.set_study_user_attr(shown.study_id, "a", 1)
    closed(study)


def test_labels_stand_beside_what_is_stored(file: Path) -> None:
    study = running(f"sqlite:///{file}", [0.5, 0.6])
    shown = opened(file)
    assert [trial.user_attrs["trial"] for trial in shown.get_all_trials(shown.study_id)] == ["trial 0", "trial 1"]
    assert shown.get_trial(shown.get_all_trials(shown.study_id)[1]._trial_id).user_attrs == {"trial": "trial 1"}
    assert [(one.system_attrs["counted"], one.user_attrs) for one in shown.get_all_studies()] == [
        (2, {"report": "/report"})
    ]
    assert study.trials[0].user_attrs == {}
    closed(study)


def test_a_storage_without_the_study(file: Path) -> None:
    closed(running(f"sqlite:///{file}"))
    with pytest.raises(UserError, match="holds no study other"):
        open_read_only(f"sqlite:///{file}", "other", Labels())


def test_a_file_that_is_no_database(file: Path) -> None:
    file.write_text("no database" * 100)
    with pytest.raises(UserError, match="cannot be used"):
        opened(file)


def test_postgresql_shows_one_study_and_refuses_to_write(postgres: Server) -> None:
    address = postgres.database()
    study = running(address)
    optuna.create_study(study_name="other", storage=open_storage(address))
    shown = open_read_only(address, "toy", Labels())
    assert [one.study_name for one in shown.get_all_studies()] == ["toy"]
    with pytest.raises(optuna.exceptions.StorageInternalError):
        shown._source.set_study_user_attr(shown.study_id, "a", 1)
    study.tell(study.ask(), 0.75)
    assert len(shown.get_all_trials(shown.study_id)) == 2


def test_a_recorded_address_is_used_without_its_mask() -> None:
    assert without_mask("postgresql+psycopg://me:***@db/sweep") == "postgresql+psycopg://me@db/sweep"
    assert make_url(without_mask("postgresql+psycopg://me:se%40cret@db/sweep")).password == "se@cret"
