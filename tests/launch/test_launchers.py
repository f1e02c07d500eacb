"""The choice of a launcher: its config, and a coordinator without the device of the trials."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support import toys
from sweep.errors import UserError
from sweep.launch.inline import Inline
from sweep.launch.launcher import Launcher
from sweep.launch.start import launched
from sweep.launch.workspace import Facts
from sweep.plan.plan import Plan, make_plan
from sweep.study.identity import identity
from sweep.study.machine import Findings, Machine, examine, look
from sweep.study.prepare import prepare
from sweep.study.session import opened

H100 = Facts("node", "cuda", "NVIDIA H100", 80 * 2**30, 79 * 2**30, has_bf16=True, threads=8)


@pytest.mark.parametrize(
    ("typed", "key", "rule"),
    [
        (["launcher=ray"], "launcher.address", "is null, but must be HOST:PORT of the head of a Ray cluster"),
        (["launcher=ray", "launcher.address=head"], "launcher.address", "is head, but must be HOST:PORT"),
        (["launcher=ray", "launcher.address=head:99999"], "launcher.address", "must be HOST:PORT"),
        (["launcher=ray", "launcher.address='head:6379 '"], "launcher.address", "is 'head:6379 ', but must be HOST:PORT"),
        (["launcher=ray", "launcher.address=''"], "launcher.address", "is '', but must be HOST:PORT"),
        (["launcher=ray", "launcher.address='ray://head:10001'"], "launcher.address", "must be HOST:PORT"),
        (["launcher=ray", "launcher.address=head:6379", "launcher.workers=2"], "launcher.workers", "only with launcher=local"),
        (["launcher.workers=2"], "launcher.workers", "is 2, but counts only with launcher=local, and that is inline"),
        (["launcher=local", "launcher.workers=0"], "launcher.workers", "must be greater than or equal to 1"),
        (["launcher=local", "launcher.address=head:6379"], "launcher.address", "counts only with launcher=ray"),
        (["launcher=slurm"], "launcher", "slurm"),
        (["launcher=ray", "launcher.address=head:6379", "launcher.node_ip_address=10.0.0.5:6379"], "launcher.node_ip_address",
         "is '10.0.0.5:6379', but must be an address of this machine, such as 10.0.0.5"),
        (["launcher=ray", "launcher.address=head:6379", "launcher.node_ip_address=300.1.1.1"], "launcher.node_ip_address",
         "must be an address of this machine"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_before_anything_starts(tmp_path: Path, typed: list[str], key: str, rule: str) -> None:
    with pytest.raises(UserError) as raised:
        toys.plan(tmp_path, *typed)
    assert any(fault.path == key and rule in f"{fault}" for fault in raised.value.faults), str(raised.value)


@pytest.mark.parametrize("own", ["10.0.0.5", "fe80::1", "node-1.cluster"])
def test_addresses_and_names_of_machines_are_taken(tmp_path: Path, own: str) -> None:
    asked = ("launcher=ray", "launcher.address=head:6379", f"launcher.node_ip_address='{own}'")
    assert toys.plan(tmp_path, *asked).config.launcher.node_ip_address == own


def test_without_ray_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweep.plan.checks.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'sweep\[ray\]'"):
        toys.plan(tmp_path, "launcher=local")
    toys.plan(tmp_path)


def test_an_address_where_nothing_answers_is_told(tmp_path: Path) -> None:
    plan = toys.plan(tmp_path, "launcher=ray", "launcher.address=127.0.0.2:9")
    with pytest.raises(UserError, match=r"launcher.address: is 127.0.0.2:9, but nothing answers there"), launched(plan):
        pass


def test_more_workers_than_gpus_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    plan = toys.plan(tmp_path, "launcher=local", "launcher.workers=3")
    with pytest.raises(UserError, match="is 3, but this machine has 2 GPUs"), launched(plan):
        pass


def test_a_study_may_go_on_with_another_launcher(tmp_path: Path) -> None:
    def parts(*typed: str) -> dict[str, Any]:
        return identity(toys.plan(tmp_path, *typed).config, {}, data="", model="")

    assert parts() == parts("launcher=local", "launcher.workers=2")


def test_the_launcher_is_not_searched(tmp_path: Path) -> None:
    space = tmp_path / "space.yaml"
    space.write_text("launcher.workers: {low: 1, high: 4}\n")
    with pytest.raises(UserError, match="belongs to the study, not to a trial"):
        toys.plan(tmp_path, f"study.space={space}")


def test_inline_imports_no_ray(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from sweep.plan.plan import make_plan\n"
        "from sweep.launch.start import launched\n"
        "from sweep.study.session import opened\n"
        "from sweep.study.search import search\n"
        f"plan = make_plan(['+experiment=quickstart', 'tracker=none', 'run_dir={tmp_path / 'run'}'])\n"
        "with launched(plan) as launcher, opened(plan, launcher) as session:\n"
        "    session.engine()\n"
        "print([name for name in sys.modules if name.partition('.')[0] == 'ray'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


class OnH100(Inline):
    """A launcher whose workers have a GPU that this machine lacks."""

    def facts(self) -> Facts:
        return H100

    def ask(self, question: Any, *_args: Any, **_kwargs: Any) -> Any:
        return {look: Machine(H100), examine: Findings((), (), ("a note of the worker",))}[question]

    def memory_in_use(self) -> int:
        return 0


def on_h100(plan: Plan) -> Launcher:
    return OnH100(Inline.of(plan).workspace)


def test_the_coordinator_needs_no_gpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = toys.plan(tmp_path, "trainer.device=cuda")
    prepared = prepare(plan, on_h100(plan))
    assert prepared.config.trainer.in_bf16
    told = capsys.readouterr().err
    assert "note: a note of the worker" in told and "trainer.bf16 is auto: on, for NVIDIA H100 has it" in told
    with opened(prepared, on_h100(prepared)) as session:
        lock = session.store.lock()
    assert lock is not None and lock.machine["device"] == "NVIDIA H100"


def test_without_the_gpu_of_a_worker_the_config_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UserError, match="is cuda, but torch sees no GPU"):
        prepare(toys.plan(tmp_path, "trainer.device=cuda"))


def test_faults_of_the_worker_s_machine_are_told_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Lacking(OnH100):
        def ask(self, question: Any, *args: Any, **kwargs: Any) -> Any:
            found = super().ask(question, *args, **kwargs)
            fault = UserError.of("model.path", "needs more memory").faults
            return replace(found, machine=fault) if question is examine else found

    plan = toys.plan(tmp_path, "trainer.device=cuda")
    with pytest.raises(UserError, match="model.path: needs more memory$"):
        prepare(plan, Lacking(Inline.of(plan).workspace))
    with pytest.raises(UserError, match="model.path: needs more memory, on the worker on node$"):
        prepare(plan, Lacking(Inline.of(plan).workspace, inline=False))
    dry = toys.plan(tmp_path, "trainer.device=cuda", "study.dry_run=true")
    with pytest.raises(SystemExit):
        prepare(dry, Lacking(Inline.of(dry).workspace, inline=False))
    told = capsys.readouterr().out
    assert "note: the worker on node cannot run it: model.path: needs more memory" in told
    assert "note: a note of the worker, on the worker on node" in told


def test_every_launcher_has_a_file(tmp_path: Path) -> None:
    for name in ("inline", "local"):
        assert make_plan(["+experiment=quickstart", "tracker=none", f"launcher={name}"]).config.launcher.name == name
