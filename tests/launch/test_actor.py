"""What keeps a worker from training for a study."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from support import toys
from sweep.config.schema import Config
from sweep.launch.actor import Spec, _failing, _same_files, _unlike, python
from sweep.launch.code import code_fingerprint, sent_code, versions

SPEC = Spec(Config(), {}, versions(), code_fingerprint(), {}, python())


def test_a_worker_that_cannot_write_its_cache_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEEP_CACHE", str(tmp_path / "cache"))
    assert _unlike(SPEC) == []
    (tmp_path / "cache").write_text("a file")
    (reason,) = _unlike(SPEC)
    assert reason.startswith(f"SWEEP_CACHE: is {tmp_path}/cache, but {tmp_path}/cache is no folder; name a folder")


def test_code_that_a_worker_cannot_import_is_named() -> None:
    (reason,) = _unlike(replace(SPEC, own_code={"of_nobody.gain": "sha256 0"}))
    assert reason.startswith("own code names of_nobody, and there is no such module")
    assert reason.endswith("; install there what is missing")


def test_other_versions_are_told_with_the_command_that_mends_them() -> None:
    wanted = {**versions(), "torch": "1.0", "rare": "2.1"}
    *reasons, command = _unlike(replace(SPEC, versions=wanted, python="3.0"))
    assert reasons[0] == f"python is {python()} there, and 3.0 on the coordinator: use one version on all machines"
    assert reasons[1:] == [
        "rare is missing there, and 2.1 on the coordinator",
        f"torch is {versions()['torch']} there, and 1.0 on the coordinator",
    ]
    assert command == "type there: pip install rare==2.1 torch==1.0"


def test_code_that_was_changed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "changing.py").write_text("from changing_too import gain\n")
    (tmp_path / "changing_too.py").write_text("def gain(): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    names = ["changing.gain", "sklearn.metrics.accuracy_score"]
    states = sent_code(names)
    assert _unlike(replace(SPEC, own_code=states, imported={"changing_too": "sha256 0", "absent": "sha256 0"})) == [
        "changing_too, which own code imports, differs from the coordinator's: it was changed after the study had read it; "
        "start the same command again"
    ]
    first, second, third = _unlike(replace(SPEC, code="0", own_code=dict.fromkeys(names, "sha256 0")))
    assert first.startswith("sweep's own code in /") and first.endswith("start the same command again")
    assert second.startswith(
        f"changing.gain is {states[names[0]]} there, and sha256 0 on the coordinator: it was changed"
    )
    assert third.startswith("sklearn") and third.endswith(": install the same version there")


def test_a_worker_on_which_a_metric_fails_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that it reads is on the coordinator alone."""
    (tmp_path / "costly.py").write_text(
        "from pathlib import Path\n\ndef gain(labels, chances):\n"
        f"    return float(Path('{tmp_path}/costs').read_text())\n"
    )
    (tmp_path / "costs").write_text("0.5")
    monkeypatch.syspath_prepend(tmp_path)
    plan = toys.plan(tmp_path / "run", "dataset.metrics=[costly.gain]")
    assert _failing(plan.config, plan.splits) == []
    (tmp_path / "costs").unlink()
    (reason,) = _failing(plan.config, plan.splits)
    assert reason.startswith("dataset.metrics: is costly.gain, which when it was computed raised FileNotFoundError: ")
    assert reason.endswith("(costly.py, line 4)")


@pytest.mark.parametrize(
    ("path", "told"),
    [("pkg://somewhere/model", "version of that package"), ("name/of-the-hub", "model.revision"), (".", "copy the")],
)
def test_other_files_of_a_model_are_told_with_what_to_do(path: str, told: str) -> None:
    assert told in _same_files(Config().model.model_copy(update={"path": path}))
