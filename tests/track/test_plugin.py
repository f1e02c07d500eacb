"""Trackers by dotted path, alone and several at once, well and broken."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweep.config.compose import Composer
from sweep.config.origin import Origins
from sweep.config.parse import parse
from sweep.config.schema import Config
from sweep.errors import UserError
from sweep.records.events import read_rows
from sweep.track.addresses import WANDB, own_address
from sweep.track.faults import tracker_faults
from sweep.track.mode import described
from sweep.track.null import NullTracker
from sweep.track.open import open_tracker
from sweep.track.patience import NeverStopped
from sweep.track.study_run import StudyRun
from sweep.track.tracker import Chart, CutRun, Ending, JobType

TARGET = "keeping_plugins.KeepingTracker"


@pytest.fixture(autouse=True)
def plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """The module, importable by a name of its own as a user's is."""
    import importlib.util

    spec = importlib.util.spec_from_file_location(
        "keeping_plugins", Path(__file__).parents[1] / "support" / "tracker_plugins.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "keeping_plugins", module)
    spec.loader.exec_module(module)
    yield module
    module.RELEASED.set()


def composed(*overrides: str, folder: Path | None = None) -> Config:
    composer = Composer((folder,) if folder else ())
    found = composer.compose(overrides)
    config, faults = parse(found.resolved(), Origins(composer, overrides, found.choices))
    assert faults == []
    return config


def own(name: str = "kept", **keys: object) -> dict[str, object]:
    return {"name": name, "target": TARGET, "label": name, **keys}


def play(config, run_dir, make_trial, train, said):
    tracker = open_tracker(config, run_dir, say=said.append)
    trial = make_trial(config)
    run = tracker.open(trial)
    record = train(trial, run)
    run.finish(Ending(record.state))
    return record, tracker.close()


def test_a_class_of_the_users_own_gets_everything(make_config, make_trial, train, run_dir, said, plugins):
    config = make_config("kept", tags=(), finish_timeout=60.0, target=TARGET, label="mine")
    assert tracker_faults(config) == []
    record, closing = play(config, run_dir, make_trial, train, said)
    (tracker,) = plugins.KeepingTracker.made
    assert [step for step, _ in tracker.rows] == [2, 2, 4, 4] and tracker.endings == ["completed"]
    assert (record.tracker_run, closing, said) == ("kept: mine/0", ("kept 4",), [])


@pytest.mark.parametrize("place", ["start", "open", "log", "finish", "close"])
def test_a_broken_tracker_costs_one_line_and_never_the_other(
    make_config, make_trial, train, run_dir, said, plugins, place
):
    config = make_config(**own("broken", fails_at=place), tags=(), finish_timeout=60.0, also={"well": own("well")})
    record, closing = play(config, run_dir, make_trial, train, said)
    well = next(tracker for tracker in plugins.KeepingTracker.made if tracker.label == "well")
    assert len(well.rows) == 4 and well.endings == ["completed"] and "kept 4" in closing
    assert "well: well/0" in record.tracker_run
    (line,) = said
    assert line.startswith(f"broken failed to {'start' if place == 'start' else ''}") and f"cannot {place}" in line
    assert "hf_abc" not in line


@pytest.mark.parametrize("place", ["start", "open", "log", "close"])
def test_a_tracker_that_hangs_is_given_up(make_config, make_trial, train, run_dir, said, place, monkeypatch):
    monkeypatch.setattr("sweep.track.threaded._FIRST", 0.05)
    monkeypatch.setattr("sweep.track.patience.Patience.__init__.__defaults__", (NeverStopped(), 0.05, 0.0, 0.0, 0))
    config = make_config(**own("slow", fails_at=f"hang at {place}"), tags=(), finish_timeout=60.0, max_wait=0.05)
    _, closing = play(config, run_dir, make_trial, train, said)
    assert closing == () and len(said) == 1 and "gets nothing more" in said[0]


def test_each_tracker_completes_what_it_left_open(make_config, run_dir, said, plugins):
    config = make_config(**own("one"), tags=(), finish_timeout=60.0, also={"two": own("two")})
    tracker = open_tracker(config, run_dir, say=said.append)
    address = "one: one/3; two: two/7; W&B: https://wandb.ai/me/p/runs/x-1"
    assert tracker.left_open(address) and not tracker.left_open("one: one/3; two: two/3") and not tracker.left_open("")
    assert tracker.complete(CutRun(JobType.TRIAL, address, 7, Ending("lost")))
    tracker.close()
    assert {one.label: one.completed for one in plugins.KeepingTracker.made} == {"one": [], "two": ["two/7"]}


def test_addresses_are_distinguished():
    alone = "https://wandb.ai/me/sweep/runs/a-1"
    both = f"W&B: {alone}; mlflow: http://127.0.0.1:5000/#/experiments/1/runs/2"
    assert own_address(alone, WANDB) == own_address(both, WANDB) == alone
    assert own_address(both, "mlflow").endswith("/runs/2")
    assert own_address("mlflow: there/runs/2", WANDB) == own_address(alone, "mlflow") == own_address("", "mlflow") == ""


def test_a_list_gives_each_tracker_its_own_keys():
    config = composed("tracker=[wandb,mlflow,tensorboard]", "tracker.mode=offline", "tracker.also.mlflow.max_wait=5")
    assert (config.tracker.name, config.tracker.mode, list(config.tracker.also)) == (
        "wandb", "offline", ["mlflow", "tensorboard"],
    )  # fmt: skip
    assert config.tracker.also["mlflow"]["max_wait"] == 5
    assert described(config.tracker) == "wandb, offline; mlflow; tensorboard"
    assert composed("tracker=[mock]").tracker == composed("tracker=mock").tracker
    assert Config.model_validate_json(config.model_dump_json()) == config


def test_a_file_in_a_folder_of_the_users_own_is_all_that_a_tracker_needs(tmp_path):
    (tmp_path / "tracker").mkdir()
    (tmp_path / "tracker" / "kept.yaml").write_text(f"name: kept\ntarget: {TARGET}\nlabel: x\n")
    for overrides in (["tracker=kept", "tracker.label=y"], ["tracker=[wandb,kept]", "tracker.also.kept.label=y"]):
        assert tracker_faults(composed(*overrides, folder=tmp_path)) == []


def test_a_list_in_an_experiment_is_refused_with_what_to_write(tmp_path):
    (tmp_path / "experiment").mkdir()
    text = "# @package _global_\ndefaults:\n  - override /tracker: [wandb, mock]\n"
    (tmp_path / "experiment" / "two.yaml").write_text(text)
    with pytest.raises(UserError, match="/tracker@tracker.also.OTHER: OTHER"):
        Composer((tmp_path,)).compose(["+experiment=two"])
    right = "# @package _global_\ndefaults:\n  - /tracker@tracker.also.mlflow: mlflow\n  - override /tracker: mock\n"
    (tmp_path / "experiment" / "two.yaml").write_text(right)
    assert described(composed("+experiment=two", folder=tmp_path).tracker) == "mock, on this machine; mlflow"


@pytest.mark.parametrize(
    ("tracker", "paths"),
    [
        ({"name": "mine"}, ["tracker.name"]),
        ({"name": "mlflow"}, ["tracker.name"]),
        ({"name": "wandb", "target": TARGET}, ["tracker.target"]),
        ({"name": "mine", "target": "nodots"}, ["tracker.target"]),
        ({"name": "mine", "target": "no.such.Class"}, ["tracker.target"]),
        ({"name": "mine", "target": "keeping_plugins.Missing"}, ["tracker.target"]),
        ({"name": "mine", "target": "keeping_plugins.NoTracker"}, ["tracker.target"]),
        (own(mode="offline", label=3, project="p", lable="x"),
         ["tracker.mode", "tracker.label", "tracker.project", "tracker.lable"]),
        ({"also": {"mine": {"label": "x"}}}, ["tracker.also.mine"]),
        ({"also": {"kept": own(max_wait=-1)}}, ["tracker.also.kept.max_wait"]),
        ({"also": {"kept": own(mode="online", lable="x")}}, ["tracker.also.kept.mode", "tracker.also.kept.lable"]),
        ({"also": {"mock": {"name": "mock", "uri": "x"}}}, ["tracker", "tracker.also.mock.uri"]),
        ({"also": {"mock": {"name": "mock"}}}, ["tracker"]),
        ({"also": {"none": {"name": "none"}}}, ["tracker"]),
        ({"also": {"wandb": {"name": "wandb"}}}, ["tracker"]),
    ],
)  # fmt: skip
def test_faults(tracker, paths):
    config = Config.model_validate({"tracker": tracker})
    assert [fault.path for fault in tracker_faults(config)] == paths


def test_a_key_that_no_tracker_has_is_refused_with_the_nearest():
    (fault,) = tracker_faults(Config.model_validate({"tracker": {"name": "wandb", "prject": "x"}}))
    assert fault.path == "tracker.prject" and "is not a key of tracker wandb (did you mean project?)" in fault.message


@pytest.mark.parametrize(
    ("target", "rule"),
    [
        ("keeping_plugins.KeepingTraker", "has no KeepingTraker (did you mean KeepingTracker?)"),
        ("keeping_plugin.KeepingTracker", "names keeping_plugin, and there is no such module in"),
        ("keeping_plugins.NoTracker", "is keeping_plugins.NoTracker, which lacks `Settings` and `requires`"),
    ],
)
def test_a_target_that_is_no_tracker_is_refused_with_the_reason(target, rule):
    (fault,) = tracker_faults(Config.model_validate({"tracker": {"name": "mine", "target": target}}))
    assert fault.path == "tracker.target" and rule in fault.message


def test_a_package_that_is_not_there_is_named_with_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    monkeypatch.setattr("sweep.track.plugin.find_spec", lambda name: None)
    (fault,) = tracker_faults(composed("tracker=mlflow"))
    assert fault.path == "tracker.name" and "pip install 'sweep[mlflow]'" in fault.message


def test_a_tracker_that_is_disabled_is_left_out(make_config, run_dir, said):
    config = make_config("none", also={"kept": own(mode="disabled")})
    assert [fault.path for fault in tracker_faults(config)] == ["tracker"]
    assert isinstance(
        open_tracker(make_config(**own(), mode="disabled", tags=(), finish_timeout=60.0), run_dir), NullTracker
    )


def test_the_recipe_of_the_guide(make_config, make_trial, train, run_dir, said, tmp_path, monkeypatch):
    guide = (Path(__file__).parents[2] / "docs" / "tracking.md").read_text()
    code, file = (guide.split(f"```{kind}\n")[1].split("```")[0] for kind in ("python", "yaml"))
    (tmp_path / "my_trackers.py").write_text(code)
    (tmp_path / "tracker").mkdir()
    (tmp_path / "tracker" / "csv.yaml").write_text(file)
    monkeypatch.syspath_prepend(tmp_path)
    config = composed("tracker=csv", "tracker.file=all.csv", folder=tmp_path)
    assert tracker_faults(config) == []
    run_dir.mkdir()
    config = make_config().model_copy(update={"tracker": config.tracker})
    _, closing = play(config, run_dir, make_trial, train, said)
    assert said == [] and closing == (f"5 rows in {run_dir / 'all.csv'}",)
    assert "trial-0,4,eval/accuracy,0.7" in (run_dir / "all.csv").read_text()


def test_a_tracker_without_alerts_and_without_resuming_gets_the_studys_run_as_well(
    run_dir, store, make_config, said, plugins
):
    config = make_config("kept", tags=(), finish_timeout=60.0, target=TARGET)
    for _ in range(2):
        tracker = open_tracker(config, run_dir, say=said.append)
        run = StudyRun(tracker, store, config, rows=10)
        run.finish(Ending("completed", charts=(Chart("c", "C", "bars", [{"key": "a", "share": 1.0}]),)))
        tracker.close()
    first, second = plugins.KeepingTracker.made
    kept = [(row.step, row.metrics) for row in read_rows(store.study_dir)]
    assert first.rows == kept[:2] and second.rows == kept[:5] and len(kept) == 6
    assert first.endings == second.endings == ["completed"]
    assert said == ["kept cannot go on with the run of a stopped study: it gets a new run with all rows."]
