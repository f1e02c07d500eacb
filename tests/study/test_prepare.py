"""The plan in words."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import toys
from sweep.errors import UserError
from sweep.provenance import now
from sweep.records import Cost, Failed, FailureReason, ParameterGroup, Parameters, TrialRecord
from sweep.study.prepare import _never_packed, describe
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
    ("override", "told"),
    [
        ("run_dir=/dev/null/x", "run_dir: is /dev/null/x, but cannot be written to: Not a directory"),
        ("study.storage=sqlite:////no/such/place/x.db", "study.storage: is sqlite:////no/such/place/x.db, but cannot be used"),
        ("study.storage=oracle+none://host/x", "study.storage: is oracle+none://host/x, but cannot be used"),
    ],
)  # fmt: skip
def test_a_dry_run_refuses_what_the_run_would(tmp_path: Path, override: str, told: str) -> None:
    with pytest.raises(UserError, match=re.escape(told)):
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


def test_what_a_pack_cannot_carry_is_said_beforehand(tmp_path: Path) -> None:
    account = Parameters(1, 1, 1)
    plan = toys.plan(tmp_path, "engine=packed", "study.space=adapters")
    assert "one trial at a time" not in describe(plan, account)
    plan = toys.plan(tmp_path, "engine=packed", "adapter=full", "study.space=null")
    assert "one trial at a time, by the Trainer: adapter.method full" in describe(plan, account)


@pytest.mark.parametrize(
    ("kind", "shape", "told"),
    [
        ("t5", {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 1}, "an encoder-decoder (t5) reads a text twice"),
        ("deberta-v2", SMALL, "the architecture deberta-v2 computes attention in a way of its own"),
        ("modernbert", SMALL, None),
    ],
)
def test_a_model_whose_trials_never_pack(tmp_path: Path, kind: str, shape: dict[str, int], told: str | None) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"model_type": kind, **shape}))
    model = [f"model.config={config}", "model.init=random", "model.path=some/model", "study.space=null"]
    notes = _never_packed(toys.plan(tmp_path, *model))
    rule = "its trials cannot be packed, and the Trainer trains them one at a time"
    assert notes == ([] if told is None else [f"model.path is some/model, and {told}: {rule}"])
    assert not _never_packed(toys.plan(tmp_path, *model, "engine=trainer"))
    assert not _never_packed(toys.plan(tmp_path, *model, "adapter=full"))
