"""Every experiment from end to end: its own architecture, made small and random where its weights
do not ship, its adapter and quantisation, a few dozen real rows, one trial. Needs
../shared/data."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.program import assert_repeats
from support.published_figures import FIGURES
from sweep.__main__ import main
from sweep.records.store import Store
from test_experiments import EXPERIMENTS, local

DATA = Path(__file__).parents[2] / "shared" / "data"
FOLDERS = {name: DATA / name for name in ("banking77", "imdb", "semeval2018_ec", "snli")}
SHRUNK = [
    "model.init=random", "model.shrink.layers=2", "model.shrink.width=64", "model.shrink.heads=4",
    "model.shrink.vocabulary=512",
]  # fmt: skip
SMALL = [
    "model.dtype=float32",
    "dataset.max_train_samples=48", "dataset.max_eval_samples=24", "dataset.max_test_samples=24", "dataset.max_length=160",
    "trainer.num_train_epochs=1", "trainer.per_device_train_batch_size=16", "trainer.gradient_accumulation_steps=1",
    "optimizer.warmup_steps=0", "trainer.bf16=false", "trainer.fp16=false", "trainer.device=cpu", "trainer.logging_steps=1",
    "tracker=none",
]  # fmt: skip
# What a report shows of the published figures, as it shows them.
SHOWN = {
    "dialogpt_qlora": ["0.9260", "0.9351", "1568.51"],
    "gemma_lora": ["0.5911", "0.1935", "960", "367.60"],
    "gemma_ia3": ["0.5802", "0.1838", "960", "contradict"],
    "qwen_qlora": ["0.5996", "0.1566", "380", "43.90"],
    "distilbert_lora_attention": ["0.687743", "0.59375", "82.00"],
    "distilbert_lora_all": ["0.684738", "0.6875"],
    "distilbert_lora_r32": ["0.685638", "0.6875", "80.90"],
    "distilbert_ia3": ["0.689244", "0.6250", "268.50"],
    "gpt2_head": ["0.81432", "0.81415", "1.0900", "0.4590"],
    "gpt2_lora": ["0.92852", "927", "0.6900", "0.2100"],
    "phi2_qlora": ["0.6733", "0.6954", "18,350,080", "2,798,033,920", "1121.70", "0.0943", "P100"],
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data"),
]


@pytest.mark.parametrize("name", [name for name in EXPERIMENTS if name != "quickstart"])
def test_it_runs_from_data_to_report(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"
    trials = 3 if name.startswith("compare") else 1
    every = ["trainer.eval_steps=2"] if name in ("gemma_lora", "gemma_ia3", "qwen_qlora") else []
    real = name.startswith(("minilm", "compare"))  # whose weights are a package of the project's
    words = [f"+experiment={name}", *local(name, FOLDERS), *SMALL, *every, *([] if real else SHRUNK)]
    words += [f"run_dir={run}", f"study.n_trials={trials}"]
    monkeypatch.setattr("sys.argv", ["sweep", *words])
    main()
    lock, final, report = Store(run).lock(), Store(run).final(), (run / "report.md").read_text()
    assert lock is not None and final is not None
    assert lock.data.rows == {"train": 48, "validation": 24, "test": 24} and final.test_rows == 24
    assert_repeats(Store(run).trials()[final.number], final)
    held = final.parameters
    if final.config.adapter.quantization == "nf4":
        assert held.bytes < 4 * held.total
    if final.config.adapter.method != "full":
        assert 0 < held.trainable < held.total
    if final.config.prompt is not None:
        assert final.before["test/accuracy"] >= 0
    assert [figure for figure in SHOWN.get(name, []) if figure not in report] == []


def test_every_published_experiment_s_figures_are_looked_for() -> None:
    assert set(SHOWN) == set(FIGURES)
