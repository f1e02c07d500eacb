"""Studies that begin with what others learnt."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import optuna
import pytest

from support.studies import points
from support.toys import ToyEngine, plan, session
from sweep.analysis.facts import read
from sweep.errors import UserError
from sweep.plan.plan import make_plan
from sweep.records.store import Store
from sweep.records.trial import Completed, TrialRecord
from sweep.records.warm_start import WarmRun, read_warm_start
from sweep.study.search import search
from sweep.study.session import new_lock
from sweep.study.warm_start import preview

RATE = "optimizer.learning_rate"
PLAIN = ("study.pruner=none",)


def studied(folder: Path, *overrides: str, engine: ToyEngine | None = None) -> list[TrialRecord]:
    """Return the records of a study whose run directory has a lock."""
    with session(folder, *overrides, engine=engine) as opened:
        if opened.store.lock() is None:
            opened.store.write_lock(new_lock(opened.plan, "cpu"))
        return search(opened)


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of eight random points, some of them pruned."""
    folder = tmp_path_factory.mktemp("earlier")
    studied(folder, "study.n_trials=8", "study.sampler=random", "study.seed=7", "study.pruner=median")
    return folder / "run"


def best_of(run: Path) -> dict[str, object]:
    best = read(Store(run)).best
    assert best is not None
    return dict(best.params)


def taken(folder: Path) -> WarmRun:
    (run,) = read_warm_start(folder / "run")
    return run


def test_the_sampler_learns_from_the_same_experiment(
    tmp_path: Path, earlier: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("study.n_trials=6", *PLAIN)
    warm = studied(tmp_path / "warm", *options, f"study.warm_start=[{earlier}]")
    assert f"the sampler learns from 8 trials of {earlier}; 1 point is tried first" in capsys.readouterr().err
    run = taken(tmp_path / "warm")
    assert run.differs == () and len(run.trials) == 8 and list(run.points) == [best_of(earlier)]
    assert warm[0].params == best_of(earlier) and len(warm) == 6
    assert not set(points(warm[1:])) & set(points(studied(tmp_path / "cold", *options)))
    near = [abs(record.params[RATE] / best_of(earlier)[RATE] - 1) < 2 for record in warm]  # type: ignore[operator]
    assert sum(near) > 3, "no four points are drawn at random first"


def test_trials_of_others_are_in_no_storage(tmp_path: Path, earlier: Path) -> None:
    studied(tmp_path, "study.n_trials=3", *PLAIN, f"study.warm_start=[{earlier}]")
    kept = optuna.load_study(study_name="quickstart", storage=f"sqlite:///{tmp_path / 'run' / 'study.db'}")
    assert len(kept.trials) == 3


def test_a_study_that_goes_on_takes_over_nothing_twice(tmp_path: Path, earlier: Path) -> None:
    class Killed(BaseException):
        pass

    def kill(trial: object, _epoch: int) -> None:
        if getattr(trial, "number", 0) == 2:
            raise Killed

    moved = tmp_path / "moved"
    moved.symlink_to(earlier)
    options = ("study.n_trials=5", *PLAIN, f"study.warm_start=[{moved}]")
    with pytest.raises(Killed):
        studied(tmp_path / "a", *options, engine=ToyEngine(before=kill))
    held = taken(tmp_path / "a")
    moved.unlink()  # it may be gone by then
    again = studied(tmp_path / "a", "study.n_trials=5", *PLAIN)
    assert taken(tmp_path / "a") == held
    assert sum(record.params == again[0].params for record in again) == 1
    assert points(again) == points(studied(tmp_path / "b", "study.n_trials=5", *PLAIN, f"study.warm_start=[{earlier}]"))


@pytest.mark.parametrize("sampler", ["random", "qmc", "cmaes"])
def test_samplers_that_do_not_learn_get_points_alone(tmp_path: Path, earlier: Path, sampler: str) -> None:
    records = studied(tmp_path, "study.n_trials=6", *PLAIN, f"study.sampler={sampler}", f"study.warm_start=[{earlier}]")
    run = taken(tmp_path)
    assert run.trials == () and len(run.points) == 3
    assert [record.params for record in records[:3]] == list(run.points)


def test_of_another_experiment_the_best_points_are_tried_first(
    tmp_path: Path, earlier: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = ("study.n_trials=8", "dataset.train_every_nth=2", *PLAIN)
    records = studied(tmp_path, *other, f"study.warm_start=[{earlier}]")
    run = taken(tmp_path)
    assert "data fingerprint" in run.differs and run.trials == ()
    assert [record.params for record in records[:3]] == list(run.points) and len(run.points) == 3
    assert "another experiment (data fingerprint, dataset.train_every_nth)" in capsys.readouterr().err


def test_points_outside_the_search_space_are_left_out(tmp_path: Path, earlier: Path) -> None:
    space = tmp_path / "narrow.yaml"
    space.write_text(f"{RATE}: {{low: 1.0e-3, high: 1.0e-2, log: true}}\n")
    studied(tmp_path, "study.n_trials=2", *PLAIN, f"study.space={space}", f"study.warm_start=[{earlier}]")
    run = taken(tmp_path)
    assert run.left_out + len(run.trials) == 8 and run.left_out > 0
    assert any("left out: their" in note for note in run.notes)
    assert all(1e-3 <= trial.params[RATE] <= 1e-2 for trial in run.trials)  # type: ignore[operator]


def test_at_most_half_of_the_trials_are_points_of_others(tmp_path: Path, earlier: Path) -> None:
    studied(tmp_path, "study.n_trials=4", *PLAIN, "dataset.train_every_nth=2", f"study.warm_start=[{earlier}]")
    assert len(taken(tmp_path).points) == 2


def test_each_compared_choice_has_points_of_its_own(tmp_path: Path) -> None:
    compared = ("study.space=adapters", "study.compare_by=adapter", *PLAIN)
    studied(tmp_path / "a", "study.n_trials=6", "study.seed=3", *compared)
    records = studied(tmp_path / "b", "study.n_trials=6", *compared, f"study.warm_start=[{tmp_path / 'a' / 'run'}]")
    run = taken(tmp_path / "b")
    assert len(run.trials) == 6 and {point["adapter"] for point in run.points} == {"lora", "ia3", "head"}
    assert [record.params for record in records[:3]] == list(run.points)


@pytest.mark.parametrize(("make", "message"), [
    (lambda path: None, "is no folder; give the run directory of a study"),
    (lambda path: path.mkdir(), "is no run directory: it has no lock.json"),
])  # fmt: skip
def test_a_folder_that_is_no_run_is_refused(tmp_path: Path, make, message: str) -> None:  # type: ignore[no-untyped-def]
    make(tmp_path / "none")
    with pytest.raises(UserError, match=rf"study.warm_start\[0\]: is {tmp_path / 'none'}, which {message}"):
        plan(tmp_path, f"study.warm_start=[{tmp_path / 'none'}]")


def test_runs_that_teach_nothing_are_refused(tmp_path: Path, earlier: Path) -> None:
    (tmp_path / "newer").mkdir()
    (tmp_path / "newer" / "lock.json").write_text('{"schema_version": 999}')
    (tmp_path / "empty").mkdir()
    shutil.copy(earlier / "lock.json", tmp_path / "empty" / "lock.json")
    with pytest.raises(UserError) as caught:
        named = [tmp_path / "newer", tmp_path / "empty", tmp_path / "run", earlier, earlier]
        plan(tmp_path, f"study.warm_start=[{','.join(map(str, named))}]")
    text = str(caught.value)
    assert "newer, which has lock.json, which was written by a newer sweep" in text and "upgrade sweep" in text
    assert "empty, which has no completed trial to learn from" in text
    assert "run, which is the run directory of this study itself" in text and "which is named twice" in text
    with pytest.raises(UserError, match="sampler is grid, which tries every point as it is"):
        plan(tmp_path, "study.sampler=grid", "study.space=grid", f"study.warm_start=[{earlier}]")


def test_trials_beyond_a_limit_of_this_study_are_left_out(tmp_path: Path, earlier: Path) -> None:
    losses = sorted(trial.outcome.best.metrics["eval/loss"] for trial in Store(earlier).trials()
                    if isinstance(trial.outcome, Completed))  # fmt: skip
    made = plan(tmp_path, f"study.warm_start=[{earlier}]", f"study.limits={{eval.loss: {losses[0] + 1e-9}}}")
    lines = preview(made, new_lock(made, "cpu"))
    assert any(f"{len(losses) - 1} trials of {earlier} left out: they are beyond the limit of eval.loss" in line
               for line in lines), lines  # fmt: skip


def test_a_moved_run_is_known_by_its_id(tmp_path: Path, earlier: Path) -> None:
    studied(tmp_path, "study.n_trials=2", *PLAIN, f"study.warm_start=[{earlier}]")
    link = tmp_path / "link"
    link.symlink_to(earlier)
    again = plan(tmp_path, "study.n_trials=2", *PLAIN, f"study.warm_start=[{link}]")
    (line,) = preview(again, new_lock(again, "cpu"))
    assert f" {earlier};" in line, "it is not learnt from twice"
    with pytest.raises(UserError, match="which is named twice"):
        plan(tmp_path / "other", f"study.warm_start=[{earlier},{link}]")


def test_a_dry_run_says_what_would_be_taken_over(tmp_path: Path, earlier: Path) -> None:
    made = plan(tmp_path, f"study.warm_start=[{earlier}]")
    assert preview(made, new_lock(made, "cpu"))[0].startswith("warm start: the sampler learns from 8 trials of")
    assert not (tmp_path / "run").exists()


def test_keys_that_one_of_the_two_searches_alone(tmp_path: Path) -> None:
    """The first study searches adapters and not the epochs, the second the epochs with LoRA."""
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    rate = f"{RATE}: {{low: 1.0e-4, high: 1.0e-2, log: true}}\n"
    one.write_text(f"{rate}adapter: {{choices: [lora, ia3]}}\n")
    two.write_text(f"{rate}trainer.num_train_epochs: {{low: 2, high: 6}}\n")
    plain = ("study.n_trials=6", "study.sampler=random", *PLAIN)
    studied(tmp_path / "a", *plain, f"study.space={one}")
    studied(tmp_path / "b", "study.n_trials=2", *PLAIN, f"study.space={two}", f"study.warm_start=[{tmp_path}/a/run]")
    run = taken(tmp_path / "b")
    assert run.differs == () and 0 < len(run.trials) < 6 and len(run.trials) + run.left_out == 6
    assert any("their adapter is not as here" in note for note in run.notes)
    assert {trial.params["trainer.num_train_epochs"] for trial in run.trials} == {3}


def test_a_trial_of_a_warm_study_can_be_repeated_alone(tmp_path: Path, earlier: Path) -> None:
    options = ("study.n_trials=4", f"study.warm_start=[{earlier}]")
    command = plan(tmp_path, *options).trial(0, best_of(earlier)).command  # type: ignore[arg-type]
    assert make_plan(shlex.split(command)[3:]).config.study.warm_start == ()
