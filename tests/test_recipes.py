"""The recipes of CONTRIBUTING.md as a reader would type them: files and commands, up to the plan."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from sweep.config.folders import conf_dir
from sweep.plan.plan import Plan, make_plan
from sweep.track.faults import tracker_faults

ROOT = Path(__file__).parents[1]
RECIPES = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Recipes\n")[2]
TRACKING = (ROOT / "docs" / "tracking.md").read_text(encoding="utf-8").partition("## Your own tracker\n")[2]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder in which the reader works; modules that are imported from it are forgotten."""
    monkeypatch.chdir(tmp_path)
    modules, places = set(sys.modules), list(sys.path)
    yield tmp_path
    for name in set(sys.modules) - modules:
        file = getattr(sys.modules[name], "__file__", None)
        if file and Path(file).is_relative_to(tmp_path):
            del sys.modules[name]
    sys.path[:] = places


def section(title: str) -> str:
    return RECIPES.partition(f"### {title}\n")[2].partition("\n### ")[0]


def write(text: str) -> None:
    """Write each file that the text shows as an indented block after its name."""
    for name, content in re.findall(r"`([\w/]+\.(?:py|yaml))`[^`\n]*:\n\n((?: {4,}.*\n|\n(?= {4}))+)", text):
        if not name.startswith(("src/", "conf/", "tests/")):
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_text(dedent(content))


def plans(text: str) -> list[Plan]:
    """Return the plan of each command that the text shows."""
    commands = re.findall(r"^ {4,}python -m sweep (.*\+experiment=(?:.*\\\n)*.*)$", text, re.MULTILINE)
    return [make_plan(shlex.split(command.replace("\\\n", " ")), checks=(tracker_faults,)) for command in commands]


def test_a_data_set() -> None:
    text = section("Add a data set")
    write(text)
    Path("data/tickets").mkdir(parents=True)
    for split in ("train", "test"):
        rows = (conf_dir() / "dataset" / "helpdesk" / f"{split}.csv").read_text(encoding="utf-8").splitlines()
        Path(f"data/tickets/{split}.csv").write_text("\n".join(["body,topic", *rows[1:]]), encoding="utf-8")
    checked, trained = plans(text)
    assert checked.config.study.dry_run and checked.config.dataset == trained.config.dataset
    assert trained.config.dataset.text_column == "body" and len(trained.splits.train) > 100


def test_an_experiment() -> None:
    text = section("Add an experiment")
    write(text)
    (plan,) = plans(text)
    assert [parameter.key for parameter in plan.space] == ["optimizer.learning_rate", "adapter.r"]
    assert (plan.config.run_dir, plan.config.trainer.eval_strategy) == ("runs/tickets_lora", "epoch")
    assert plan.notes == ()


def test_a_metric() -> None:
    text = section("Add a metric")
    write(text)
    (plan,) = plans(text)
    assert plan.config.dataset.metrics == ("mymetrics.brier",) and not plan.config.study.objective.maximize


def test_a_pruner() -> None:
    text = section("Add a sampler or a pruner")
    write(text)
    (plan,) = plans(text)
    assert plan.config.study.pruner == "mysearch.AfterTwo"


def test_an_optimizer() -> None:
    text = section("Add an optimizer")
    write(text)
    named, kept = (plan.config.optimizer for plan in plans(text))
    assert named.name == "lion_32bit"
    assert (kept.name, kept.learning_rate, kept.optim_args) == ("sgd", 0.05, {"momentum": 0.9, "nesterov": True})


def test_a_tracker() -> None:
    files = dict(re.findall(r"`([\w/]+\.(?:py|yaml))`[^`]*(?:`\w+`[^`]*)*:\n+```\w+\n(.*?)```", TRACKING, re.DOTALL))
    assert set(files) == {"my_trackers.py", "my_configs/tracker/csv.yaml"}
    for name, content in files.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(content)
    (plan,) = plans(TRACKING)
    assert plan.config.tracker.also["csv"]["target"] == "my_trackers.CsvTracker"
