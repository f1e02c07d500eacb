"""`+experiment=dialogpt_qlora` on the CPU: real nf4 weights, real Banking77 rows, a real search.
Needs ../shared/data."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.program import assert_repeats
from support.tiny import tiny_gpt2
from sweep.__main__ import main
from sweep.plan.plan import make_plan
from sweep.records.store import Store

BANKING77 = Path(__file__).parents[2] / "shared" / "data" / "banking77"

pytestmark = pytest.mark.skipif(not BANKING77.is_dir(), reason="needs ../shared/data/banking77")


def test_the_published_split_is_exact() -> None:
    plan = make_plan(["+experiment=dialogpt_qlora", f"dataset.path={BANKING77}"])
    assert plan.splits.test is not None
    assert (len(plan.splits.train), len(plan.splits.validation), len(plan.splits.test)) == (8002, 2001, 3080)
    assert len(plan.splits.labels) == 77
    published = plan.config.published
    assert published is not None
    best = published.trials[published.best_trial]
    assert plan.trial(0, best.params).total_steps == published.train.steps == 4004


@pytest.mark.slow
def test_the_search_runs_on_nf4_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = tmp_path / "space.yaml"
    space.write_text("optimizer.learning_rate: {low: 1.0e-3, high: 1.0e-1, log: true}\n")
    monkeypatch.setattr("sys.argv", [
        "sweep", "+experiment=dialogpt_qlora", f"model.path={tiny_gpt2(tmp_path / 'gpt2')}", "model.revision=null",
        f"dataset.path={BANKING77}", f"run_dir={tmp_path / 'run'}", f"study.space={space}", "study.n_trials=3", "tracker=mock",
        "trainer.num_train_epochs=0.2", "trainer.per_device_train_batch_size=32", "trainer.eval_strategy=steps",
        "trainer.eval_steps=25", "trainer.per_device_eval_batch_size=128",
    ])  # fmt: skip
    main()
    store = Store(tmp_path / "run")
    lock, final = store.lock(), store.final()
    assert lock is not None and final is not None
    assert lock.data.rows == {"train": 8002, "validation": 2001, "test": 3080}
    assert lock.config.adapter.quantization == "nf4"
    assert final.test_rows == 3080
    assert final.parameters.bytes < 4 * final.parameters.total
    assert_repeats(store.trials()[final.number], final)
    assert "0.9351" in (tmp_path / "run" / "report.md").read_text()
