from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from report.comparison.conftest import answers, run, settings
from sweep.cli.compare import main
from sweep.config.schema import TrackerConfig
from wandb_mock.backend import Backend


@pytest.fixture
def two(tmp_path: Path) -> tuple[str, str]:
    for name, wrong in {"lora": [0], "ia3": [0, 1, 2]}.items():
        run(tmp_path / name, answers(wrong), config=settings(name, tracker="mock"))
    return str(tmp_path / "lora"), str(tmp_path / "ia3")


def test_runs_are_compared_without_torch(two, tmp_path):
    code = (
        "import sys; from sweep.__main__ import main; sys.argv[0] = 'sweep'; main()\n"
        "heavy = {'torch', 'transformers', 'peft', 'wandb', 'datasets', 'vl_convert'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    command = ["compare", *two, "--out", str(tmp_path / "out"), "--tracker", "none", "--samples", "100"]
    done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Compared  2 methods on 60 test rows" in done.stdout
    assert (tmp_path / "out" / "compare.html").exists()


def test_the_comparison_is_a_run_in_the_project_of_the_first(two, tmp_path, capsys):
    main([*two, "--out", str(tmp_path / "out"), "--samples", "100"])
    assert "1 compare" in capsys.readouterr().out
    backend = Backend.open(tmp_path / "out" / "wandb-mock")
    (got,) = backend.runs.values()
    assert (got.job_type, got.project, got.display_name) == ("compare", "toys", "out")
    assert got.summary["best"] == "lora" and got.summary["lora/test/accuracy"] == pytest.approx(59 / 60)
    assert got.config["compared"]["ia3"]["adapter"]["method"] == "lora"
    assert got.summary["methods"]["nrows"] == 2
    assert {"compare.md", "compare.html", "comparison.json", "compare-curves.svg"} <= set(
        map(str, backend.run_files(got))
    )


OLD = {"mode": "disabled", "port": 0}
TENSORBOARD = {"name": "tensorboard", "target": "sweep.track.tensorboard_tracker.TensorboardTracker", **OLD}


@pytest.mark.parametrize(
    "tracker", [{"name": "none", **OLD}, TENSORBOARD, {"name": "wandb", **OLD, "also": {"tensorboard": TENSORBOARD}}]
)
def test_older_lock_files_have_a_port_for_every_tracker(tmp_path, tracker):
    pytest.importorskip("tensorboard")
    for name, wrong in {"lora": [0], "ia3": [0, 1, 2]}.items():
        config = settings(name).model_copy(update={"tracker": TrackerConfig.model_validate(tracker)})
        run(tmp_path / name, answers(wrong), config=config)
        lock = tmp_path / name / "lock.json"
        values = json.loads(lock.read_text())
        assert values.pop("schema_version") and values["config"]["tracker"]["port"] == 0
        lock.write_text(json.dumps(values))
    main([str(tmp_path / "lora"), str(tmp_path / "ia3"), "--out", str(tmp_path / "out"), "--samples", "100"])


def test_a_server_that_is_away_costs_no_file(two, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    main([*two, "--out", str(tmp_path / "out"), "--samples", "100", "--tracker", "wandb"])
    heard = capsys.readouterr()
    assert "does not answer" in heard.err and "1 compare, 0 rows kept offline" in heard.out
    assert (tmp_path / "out" / "compare.html").exists()


def test_names_and_metrics_can_be_given(two, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    main([f"mine={two[0]}", two[1], "--metric", "f1_macro", "--tracker", "none", "--samples", "100"])
    values = json.loads((tmp_path / "runs" / "compare-mine-ia3" / "comparison.json").read_text())
    assert (values["ranking"], values["metrics"]) == (["mine", "ia3"], ["f1_macro"])


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        (["{0}"], "holds one method only"),
        (["{0}", "{0}"], "is given more than once"),
        (["{0}", "{1}", "--metric", "jaccard"], "--metric: is 'jaccard', but the runs are single_label"),
        (["{0}", "{1}", "--out", "{0}"], "that is a run directory"),
        (["{0}", "{1}", "--out", "{0}/lock.json"], "cannot be made"),
    ],
)
def test_a_fault_ends_in_one_message_and_code_2(two, arguments, rule, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*(argument.format(*two) for argument in arguments), "--tracker", "none"])
    assert ended.value.code == 2
    assert rule in capsys.readouterr().err


def test_a_fault_makes_no_folder(two, tmp_path):
    with pytest.raises(SystemExit):
        main([two[0], "--out", str(tmp_path / "new" / "out"), "--tracker", "none"])
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("arguments", [["--samples", "5"], ["--seed", "-1"], ["--samples", "many"], []])
def test_wrong_options_end_with_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*(["a", "b"] if arguments else []), *arguments])
    assert ended.value.code == 2


def test_the_console_command_writes_a_report_again(two, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "sweep", "report", two[0]], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Winner    trial 1" in done.stdout and (tmp_path / "lora" / "report.html").exists()
