from __future__ import annotations

import json
import subprocess
import sys

import pytest

from sweep.cli import report
from sweep.report.pictures import Drawn


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)


def test_a_report_is_written_without_torch(store):
    code = (
        "import runpy, sys; sys.argv = ['report', sys.argv[1]]; runpy.run_module('sweep.report', run_name='__main__')\n"
        "heavy = {'torch', 'transformers', 'peft', 'wandb', 'vl_convert'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = run("-c", code, str(store.root))
    assert done.returncode == 0, done.stderr
    assert "Winner    trial 1" in done.stdout
    assert (store.root / "report.html").exists()


def test_json_prints_the_analysis_and_writes_nothing(store):
    done = run("-m", "sweep", "report", str(store.root), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["schema_version"], found["winner"]["number"], found["scores"]["sought_score"]) == (1, 1, 0.84)
    assert not (store.root / "report.md").exists() and not (store.root / "figures").exists()


@pytest.mark.parametrize("options", [(), ("--json",)])
@pytest.mark.parametrize("name", ["missing", ""])
def test_a_wrong_folder_ends_in_one_message_and_code_2(tmp_path, name, options):
    done = run("-m", "sweep.report", str(tmp_path / name), *options)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("sweep: 1 thing to mend:")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_the_records_are_read_and_analysed_once(store, monkeypatch, analysed, options):
    monkeypatch.setattr("sweep.report.write.draw", lambda *_: Drawn())
    report.main([str(store.root), *options])
    assert analysed == ["read", "analysed"]
