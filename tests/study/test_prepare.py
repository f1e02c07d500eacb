"""The plan in words."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from support import toys
from sweep.errors import UserError
from sweep.launch.workspace import facts_of
from sweep.provenance import now
from sweep.records.cost import Cost
from sweep.records.final import ParameterGroup, Parameters
from sweep.records.trial import Failed, FailureReason, TrialRecord
from sweep.study.prepare import _never_packed, describe, prepare
from sweep.study.session import check_place, opened

SMALL = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}


def test_the_account_is_a_table(tmp_path: Path) -> None:
    groups = {"attention": ParameterGroup(3_000_000, 0, 2**20), "adapter": ParameterGroup(1_000_000, 1_000_000, 2**22)}
    lines = describe(toys.plan(tmp_path), Parameters(4_000_000, 1_000_000, 5 * 2**20, groups)).splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("parameters:"))
    assert lines[start] == "parameters: 4,000,000 in total, 1,000,000 trained (25.00 %), 5 MiB of weights"
    assert [line.split() for line in lines[start + 1 : start + 4]] == [
        ["weights", "of", "parameters", "trained", "MiB"],
        ["attention", "3,000,000", "0", "1.0"],
        ["adapter", "1,000,000", "1,000,000", "4.0"],
    ]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("run_dir=/dev/null/x", "run_dir: is /dev/null/x, but cannot be written to: Not a directory"),
        ("study.storage=sqlite:////no/such/place/x.db", "study.storage: is sqlite:////no/such/place/x.db, but cannot be used"),
        ("study.storage=oracle+none://host/x", "is oracle+none://host/x, but oracle+none is no kind of database that"),
    ],
)  # fmt: skip
def test_a_dry_run_refuses_what_the_run_would(tmp_path: Path, override: str, expected: str) -> None:
    with pytest.raises(UserError, match=re.escape(expected)):
        check_place(toys.plan(tmp_path, override))


def test_a_dry_run_beside_another_experiment(tmp_path: Path) -> None:
    """Nothing is written where there is none, and the same experiment may go on."""
    plan = toys.plan(tmp_path)
    check_place(plan)
    assert not (tmp_path / "run").exists()
    with opened(plan) as session:
        session.store.write_trial(
            TrialRecord(0, {}, Failed(FailureReason.CRASHED, "", (), Cost()), "", 0, now(), now())
        )
    check_place(plan)
    with pytest.raises(UserError, match="holds another experiment"):
        check_place(toys.plan(tmp_path, "optimizer.weight_decay=0.1"))


def test_a_trial_that_cannot_be_packed_is_reported_beforehand(tmp_path: Path) -> None:
    account = Parameters(1, 1, 1)
    plan = toys.plan(tmp_path, "engine=packed", "study.space=adapters")
    assert "one trial at a time" not in describe(plan, account)
    plan = toys.plan(tmp_path, "engine=packed", "adapter=full", "study.space=null")
    assert "one trial at a time, by the Trainer: adapter.method full" in describe(plan, account)


@pytest.mark.parametrize(
    ("kind", "shape", "expected"),
    [
        ("t5", {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 1}, "an encoder-decoder (t5) reads a text twice"),
        ("deberta-v2", SMALL, "the architecture deberta-v2 computes attention in a way of its own"),
        ("modernbert", SMALL, None),
    ],
)
def test_a_model_whose_trials_never_pack(
    tmp_path: Path, kind: str, shape: dict[str, int], expected: str | None
) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"model_type": kind, **shape}))
    model = [f"model.config={config}", "model.init=random", "model.path=some/model", "study.space=null"]
    notes = _never_packed(toys.plan(tmp_path, *model))
    rule = "its trials cannot be packed, and the Trainer trains them one at a time"
    assert notes == ([] if expected is None else [f"model.path is some/model, and {expected}: {rule}"])
    assert not _never_packed(toys.plan(tmp_path, *model, "engine=trainer"))
    assert not _never_packed(toys.plan(tmp_path, *model, "adapter=full"))


def test_a_dry_run_tells_what_this_machine_cannot_do_and_a_run_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    lacking = ["trainer.fp16=true", "trainer.device=cuda", "optimizer=paged_adamw_8bit", "optimizer.on_missing=refuse"]
    with pytest.raises(SystemExit) as done:
        prepare(toys.plan(tmp_path, *lacking, "study.dry_run=true"))
    lines = capsys.readouterr().out.splitlines()
    assert done.value.code == 0
    above = lines[: lines.index("title: Help-desk intents, MiniLM, LoRA")]
    for key in ("trainer.device", "trainer.fp16", "optimizer.name"):
        assert any(line.startswith(f"note: this machine cannot run it: {key}: is ") for line in above)
    assert lines[-1] == "dry run: nothing was trained, and nothing written outside the cache; 3 notes above the config"
    with pytest.raises(UserError) as refused:
        prepare(toys.plan(tmp_path, *lacking))
    assert {fault.path for fault in refused.value.faults} == {"trainer.device", "trainer.fp16", "optimizer.name"}
    assert "type trainer.fp16=false" in str(refused.value)


def test_bf16_is_off_on_a_cpu_and_every_record_says_so(tmp_path: Path) -> None:
    made = toys.plan(tmp_path, "trainer.device=cpu")
    assert made.config.trainer.bf16 == "auto"
    plan = prepare(made)
    assert {corner.trainer.bf16 for corner in plan.corners} == {False}
    trial = plan.trial(0, {"optimizer.learning_rate": 1e-3})
    assert trial.config.trainer.bf16 is False and "trainer.bf16=false" in trial.command
    with opened(plan) as session:
        lock = session.store.lock()
    assert lock is not None and lock.config.trainer.bf16 is False


def _gpu_with_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the machine of the trials say that its device has bf16."""
    monkeypatch.setattr("sweep.study.machine.facts_of", lambda device: replace(facts_of(device), has_bf16=True))


def test_bf16_is_on_where_a_gpu_has_it_unless_fp16_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _gpu_with_bf16(monkeypatch)
    plan = prepare(toys.plan(tmp_path, "trainer.device=cpu"))
    assert plan.config.trainer.in_bf16 and "trainer.bf16=true" in plan.trial(0, {}).command
    assert plan.trial(0, {"adapter": "ia3"}).config.trainer.in_bf16
    half = toys.plan(tmp_path, "trainer.device=cpu", "trainer.fp16=true").settled(bf16=True)
    assert not half.config.trainer.in_bf16
    assert not prepare(toys.plan(tmp_path, "trainer.device=cpu", "trainer.bf16=false")).config.trainer.in_bf16


@pytest.mark.parametrize("ended", [True, False])
def test_a_study_goes_on_in_the_precision_that_it_began_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], ended: bool
) -> None:
    """Also one that was stopped in its first trial."""
    with opened(prepare(toys.plan(tmp_path, "trainer.device=cpu"))) as session:
        session.store.marks(0).begin()
        if ended:
            session.store.write_trial(
                TrialRecord(0, {}, Failed(FailureReason.CRASHED, "", (), Cost()), "", 0, now(), now())
            )
    _gpu_with_bf16(monkeypatch)
    plan = prepare(toys.plan(tmp_path, "trainer.device=cpu"))
    assert plan.config.trainer.bf16 is False
    assert "trainer.bf16 is auto: off, for the study in" in capsys.readouterr().err
    with opened(plan):
        pass
