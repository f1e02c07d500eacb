"""The records that a server lacks, found from the files of both sides alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sweep.records.store import Store
from sweep.records.trial import EvalPoint
from sweep.track.arrivals import Expected, absent_rows, compare, expected_by, main
from sweep.track.mock_received import received_runs, unknown_operations
from sweep.track.mock_settings import FOLDER
from sweep.track.tracker import JobType, Run, trial_ending
from wandb_mock.backend import Backend

TRIALS = frozenset({(JobType.TRIAL, 0), (JobType.TRIAL, 1)})


class SentRun:
    """A run whose rows go straight into the server's folder, as the server writes them."""

    def __init__(self, backend: Backend, number: int) -> None:
        self.key = ("mock", "sweep", f"tiny-{number}")
        self.address = f"http://127.0.0.1:4000/mock/sweep/runs/tiny-{number}"
        self.backend, self.count = backend, 0
        run, _ = backend.ensure_run(*self.key)
        about = {"trial": {"value": {"number": number}}}
        backend.update_run(run, {"group": "tiny", "job_type": "trial", "raw_config": about})

    def log(self, step: int, metrics: object) -> None:
        row = json.dumps({"train/global_step": step, **dict(metrics), "_step": self.count})  # type: ignore[call-overload]
        self._stream({"wandb-history.jsonl": {"offset": self.count, "content": [row]}})
        self.count += 1

    def end(self, code: int, state: str) -> None:
        summary = {"wandb-summary.json": {"offset": 0, "content": [json.dumps({"state": state})]}}
        self._stream(summary, complete=True, exitcode=code)

    def _stream(self, files: object, **more: object) -> None:
        self.backend.stream(self.key, {"files": files, **more})


@pytest.fixture
def played(run_dir, make_config, make_trial, train) -> Callable[..., Backend]:
    def play(*endings: str) -> Backend:
        backend, config = Backend(run_dir / FOLDER), make_config("mock")
        for number, ending in enumerate(endings):
            run: Run = SentRun(backend, number)  # type: ignore[assignment]
            record = train(make_trial(config, number), run, ending)
            run.end(trial_ending(record, config.study).code, record.state)  # type: ignore[attr-defined]
        return backend

    return play


def missing(store: Store) -> tuple[str, ...]:
    names = {f"tiny-{number}": f"tiny-000{number}" for number in range(len(store.trials()))}
    return compare(store, "tiny", Expected(names, TRIALS)).missing


def journal(run_dir: Path, number: int) -> Path:
    return run_dir / FOLDER / "runs" / "mock" / "sweep" / f"tiny-{number}" / "streams" / "wandb-history.jsonl"


def test_all_that_was_sent_has_arrived(played, store):
    played("completed", "diverged")
    assert missing(store) == ()


def test_rows_that_the_server_lost_are_named(played, store, run_dir):
    played("completed", "completed")
    lines = journal(run_dir, 1).read_text().splitlines()
    journal(run_dir, 1).write_text("\n".join([lines[0], lines[2], lines[3], "{"]) + "\n")
    assert missing(store) == ("trial 1: 1 of 4 rows: step 2 (eval/accuracy, eval/loss)",)


def test_a_row_that_was_sent_twice_counts_once_and_its_place_is_kept(played, store, run_dir):
    played("completed", "completed")
    lines = journal(run_dir, 1).read_text().splitlines()
    journal(run_dir, 1).write_text("\n".join([*reversed(lines), lines[0]]) + "\n")
    (first,) = (run for run in received_runs(run_dir / FOLDER) if run.number == 1)
    assert [row["_step"] for row in first.rows] == [0, 1, 2, 3] and missing(store) == ()


def test_a_row_with_another_value_is_not_the_row(played, store, run_dir):
    played("completed")
    text = journal(run_dir, 0).read_text()
    journal(run_dir, 0).write_text(text.replace('"train/loss": 1.0', '"train/loss": 5.0'))
    assert missing(store) == ("trial 0: 1 of 4 rows: step 2 (train/loss, train/epoch)",)


@pytest.mark.parametrize("text", [None, "{", "[]", '{"id": "tiny-1"}'])
def test_a_run_that_the_server_lost_is_named(played, store, run_dir, text):
    played("completed", "pruned")
    record = journal(run_dir, 1).parents[1] / "run.json"
    record.unlink() if text is None else record.write_text(text)
    assert missing(store) == ("tiny-0001: the run", "trial 1: the run")


def test_an_ending_that_the_server_lost_is_named(played, store, run_dir):
    backend = played("diverged")
    run = backend.run("mock", "sweep", "tiny-0")
    backend.update_run(run, {"exit_code": 0})
    assert missing(store) == ("trial 0: that it ended as diverged",)
    backend.update_run(run, {"ended": False})
    assert missing(store)[0] == "tiny-0000: its end"


def test_a_run_of_another_study_is_not_the_run(played, store):
    played("completed")
    assert compare(store, "other", Expected({}, TRIALS)).missing == ("trial 0: the run",)


def test_unknown_operations_are_counted(played, store, run_dir):
    backend = played("completed")
    backend.count_unknown("Odd")
    backend.count_unknown("Odd")
    assert compare(store, "tiny", Expected({}, TRIALS)).lines[0].endswith("4 rows, 2 unknown operations")
    (run_dir / FOLDER / "unknown_operations.json").write_text("{")
    assert unknown_operations(run_dir / FOLDER) == 0


def test_equal_events_each_need_a_row(store):
    point = EvalPoint(1, 4, 1.0, {"eval/accuracy": 0.5})
    row = {"train/global_step": 4, "eval/accuracy": 0.5, "_step": 0}
    assert absent_rows([point, point], [row]) == [point]
    odd = replace(point, metrics={"eval/loss": float("nan"), "eval/x": float("inf")})
    assert absent_rows([odd], [{"train/global_step": 4, "eval/loss": "NaN", "eval/x": "Infinity"}]) == []


def test_the_records_say_what_went_to_a_server_on_this_machine(played, store):
    played("completed", "completed")
    first, second = store.trials()
    assert expected_by(store).trained == TRIALS
    store.write_trial(replace(first, tracker_run="https://wandb.ai/me/sweep/runs/a"))
    store.write_trial(replace(second, tracker_run=f"tensorboard: /x; W&B: {second.tracker_run}"))
    assert expected_by(store).trained == {(JobType.TRIAL, 1)}


@pytest.fixture
def locked(run_dir, make_config, monkeypatch) -> Iterator[None]:
    """A lock file of which the comparison reads the study's name alone."""
    lock = type("Lock", (), {"config": make_config("mock")})
    monkeypatch.setattr(Store, "lock", lambda self: lock if self.root == run_dir else None)
    yield


def test_a_script_compares_again(played, run_dir, locked, capsys):
    played("completed", "completed")
    main([str(run_dir)])
    assert "2 trial runs, 0 final, 0 study, 8 rows" in capsys.readouterr().out
    journal(run_dir, 1).unlink()
    with pytest.raises(SystemExit) as ended:
        main([str(run_dir)])
    assert ended.value.code == 1
    assert "missing: trial 1: 4 of 4 rows: step 2 (train/loss, train/epoch)" in capsys.readouterr().out


@pytest.mark.parametrize("folder", ["absent", "."])
def test_a_folder_that_is_no_run_directory_is_refused(tmp_path, locked, capsys, folder):
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path / folder)])
    assert ended.value.code == 2 and "is no run directory of tracker=mock" in capsys.readouterr().err
