"""Studies whose process is killed at any of its commits to Optuna's storage."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import optuna
import pytest
from sqlalchemy import Engine, event

from support.toys import ToyEngine, session
from sweep.records.trial import TrialPlan, TrialRecord
from sweep.study.next_point import next_point
from sweep.study.optuna_study import OptunaStudy
from sweep.study.points import suggest
from sweep.study.search import _Loop, search

PLAIN = ("study.pruner=none", "study.n_trials=4")
COMMITS = 14  # more than a trial's end and the next two asks take, even where each value is committed by itself


class Killed(BaseException):
    """An exception that no handler catches, like SIGKILL."""


class Killer:
    """Kills at the `at`-th commit after trial 0 is nearly done."""

    def __init__(self, at: int) -> None:
        self.left, self.armed = at, False

    def arm(self, trial: TrialPlan, epoch: int) -> None:
        self.armed = self.armed or (trial.number, epoch) == (0, 3)

    def __call__(self, _connection: Any) -> None:
        self.left -= self.armed
        if self.armed and self.left <= 0:
            raise Killed

    @contextmanager
    def watching(self) -> Iterator[None]:
        event.listen(Engine, "commit", self)
        try:
            yield
        finally:
            event.remove(Engine, "commit", self)


def searched(folder: Path, *overrides: str, engine: ToyEngine | None = None) -> list[TrialRecord]:
    with session(folder, *PLAIN, *overrides, engine=engine) as opened:
        return search(opened)


def points(records: list[TrialRecord]) -> list[str]:
    return sorted(json.dumps(dict(record.params)) for record in records if record.state == "completed")


def same_after_every_kill(folder: Path, *overrides: str, commits: range) -> None:
    whole = points(searched(folder / "whole", *overrides))
    for at in commits:
        killer, place = Killer(at), folder / str(at)
        with killer.watching(), pytest.raises(Killed):
            searched(place, *overrides, engine=ToyEngine(before=killer.arm))
        assert points(searched(place, *overrides)) == whole, f"killed at commit {at}"


def test_a_kill_inside_an_ask_changes_no_point(tmp_path: Path) -> None:
    same_after_every_kill(tmp_path, "study.sampler=random", commits=range(3, 7, 2))


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        ("study.sampler=random",),
        ("study.sampler=qmc",),
        ("study.sampler=grid", "study.space=grid"),
        ("study.sampler=tpe",),
        ("study.sampler=gp",),
        ("study.sampler=qmc", "study.space=adapters", "study.compare_by=adapter"),
        ("study.sampler=qmc", "study.enqueue=[{optimizer.learning_rate: 1e-3},{optimizer.learning_rate: 2e-3}]"),
    ],
    ids=lambda options: " ".join(options).replace("study.", ""),
)
def test_a_kill_at_any_commit_changes_no_point(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    same_after_every_kill(tmp_path, *overrides, commits=range(1, COMMITS + 1))


def test_known_points_that_lack_values_get_the_same_ones_after_a_stop(tmp_path: Path) -> None:
    """The first is stopped, and waits behind the second from then on; each keeps its place in the
    sequence."""
    options = ("study.sampler=qmc", "study.enqueue=[{optimizer.learning_rate: 1e-3},{optimizer.learning_rate: 2e-3}]")
    whole = points(searched(tmp_path / "whole", *options))

    def kill(_trial: TrialPlan, _epoch: int) -> None:
        raise Killed

    with suppress(Killed):
        searched(tmp_path / "killed", *options, engine=ToyEngine(before=kill))
    assert points(searched(tmp_path / "killed", *options)) == whole


@pytest.mark.parametrize("options", [("study.sampler=random",), ("study.sampler=grid", "study.space=grid")])
def test_half_a_point_of_an_earlier_version_is_asked_for_again(tmp_path: Path, options: tuple[str, ...]) -> None:
    """It has some of its values alone, and no place."""
    whole = points(searched(tmp_path / "whole", *options))
    with session(tmp_path, *PLAIN, *options) as opened:
        optuna_study = OptunaStudy.open(opened.plan.config.study, opened.plan.space, opened.store)
        _, sampler = next_point(optuna_study.study, optuna_study.config, optuna_study.space)
        optuna_study.study.sampler = sampler
        trial = optuna_study.study.ask()
        suggest(trial, opened.plan.space["optimizer.learning_rate"])
        optuna_study.close()
        search(opened)
        study = optuna.load_study(study_name="quickstart", storage=f"sqlite:///{tmp_path / 'run' / 'study.db'}")
        assert points(opened.store.trials()) == whole
    assert [len(one.params) for one in study.trials[:2]] == [1, len(study.trials[2].params)]
    assert opened.store.trials()[0].state == "lost"


def test_a_trial_that_goes_on_keeps_its_place(tmp_path: Path) -> None:
    with session(tmp_path, *PLAIN) as opened:
        optuna_study = OptunaStudy.open(opened.plan.config.study, opened.plan.space, opened.store)
        first, second = optuna_study.ask()[0], optuna_study.ask()[0]
        optuna_study.close()
        optuna_study = OptunaStudy.open(opened.plan.config.study, opened.plan.space, opened.store)
        loop = _Loop(opened, optuna_study)
        loop.recover()
        again = [*(stopped.trial for stopped in loop.unfinished.waiting), optuna_study.ask()[0]]
        optuna_study.close()
    assert [trial.number for trial in again] == [0, 1, 2]
    assert [trial.params for trial in again[:2]] == [first.params, second.params]
    assert [trial.user_attrs["place"] for trial in again] == [0, 1, 2]
