"""The cases and rows of the benchmark of many workers, and a small run of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from benchmarks.scale_out import Case

from benchmarks import scale_out, table
from sweep.plan.pausing import pauses
from sweep.plan.plan import make_plan


def found(**values: Any) -> dict[str, Any]:
    usual = {
        "workers": 1,
        "seconds": 60.0,
        "processor": 3.0,
        "rate": 16.0,
        "waited": [0.01, 0.02, 0.03],
        "filling": 0.5,
    }
    return {**usual, "pauses": 5, "promotions": 2, **values}


@pytest.mark.parametrize(("rows", "paused"), [(139, False), (600, True)])
def test_validation_rows_decide_whether_racing_pauses(tmp_path: Path, rows: int, paused: bool) -> None:
    plan = make_plan(Case(2, 3, rows).overrides(tmp_path))
    assert plan.splits.state.scored == rows and pauses(plan.config.study, rows) is paused
    assert plan.config.study.n_trials == 2 * 16 * 3 and plan.config.launcher.workers == 2


def test_a_database_has_a_study_of_its_own_for_each_search(tmp_path: Path) -> None:
    address = "postgresql+psycopg://sweep@127.0.0.1:5432/postgres"
    names = set()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        overrides = Case(1, 1, storage=address).overrides(tmp_path / name)
        assert f"study.storage={address}" in overrides
        names |= {one for one in overrides if one.startswith("study.study_name=")}
    assert len(names) == 2


def test_a_password_is_in_no_argument_of_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    case, given = Case(1, 1, storage="postgresql+psycopg://sweep:secret@127.0.0.1/x"), list[str]()

    def run(_module: str, arguments: tuple[str, ...], folder: Path) -> None:
        given.extend(arguments)
        assert Case(**json.loads((folder / "case.json").read_text())) == case
        (folder / "measured.json").write_text('{"seconds": 1.0}')

    monkeypatch.setattr(scale_out.process, "run", run)
    assert scale_out._measured(case) == {"seconds": 1.0}
    assert given and "secret" not in " ".join(given)


def test_rows_of_many_workers_are_compared_with_those_of_the_first_number() -> None:
    many = found(workers=32, seconds=80.0, rate=32 * 12.0, processor=32.0)
    rows = {row.name: row for row in scale_out._rows(Case(32, 1), many, one=found())}
    cores, share = rows["32 workers: cores of the coordinator"], rows["32 workers: throughput, of workers × 1"]
    assert cores.values == [0.4] and cores.limit == 0.5
    assert share.values == [0.75] and share.limit == 0.95
    assert rows["32 workers: throughput, of no waiting at all"].values == [0.75]
    assert rows["32 workers: evaluation to verdict"].median == 0.02


def test_nothing_is_promised_of_a_search_with_hurried_steps() -> None:
    rows = scale_out._racing(Case(32, 1, 600, seconds=0.1), found())
    assert all(row.limit is None for row in rows)
    assert [row.name for row in rows if row.values == [5]] == ["32 workers, racing on 600 rows: pauses"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_small_run_has_all_simulated_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "RESULTS", tmp_path)
    options = ("--small", "--workers", "2", "--racing", "600", "--rounds", "0", "--name", "small")
    monkeypatch.setattr(sys, "argv", ["scale_out", *options])
    scale_out.main()
    rows = {row["name"]: row["values"] for row in json.loads((tmp_path / "small.json").read_text())["rows"]}
    assert rows["2 workers, racing on 600 rows: pauses"][0] > 0
    assert rows["2 workers: throughput, of workers × 2"] == [1.0]
    assert 0 < rows["2 workers: throughput, of no waiting at all"][0] <= 1


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_real_trials_are_timed_on_both_sides() -> None:
    rows = {row.name: row.values for row in scale_out._real(1, small=True)}
    for side in scale_out.SIDES:
        search, command = (rows[f"8 LoRA trials, {side}: {part}"] for part in ("search alone", "whole command"))
        assert 0 < search[0] < command[0]
