"""A whole study by label words, on real SNLI rows. Needs ../shared/data."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.tiny import tiny_llama
from sweep.__main__ import main
from sweep.model.artifact import load
from sweep.plan.plan import make_plan
from sweep.records.store import Store

SNLI = Path(__file__).parents[1] / "shared" / "data" / "snli"

pytestmark = pytest.mark.skipif(not SNLI.is_dir(), reason="needs ../shared/data/snli")


def arguments(folder: Path) -> list[str]:
    space = folder / "space.yaml"
    space.write_text("optimizer.learning_rate: {low: 1.0e-3, high: 1.0e-2, log: true}\n")
    words = "{entailment: ' card', neutral: ' money bank', contradiction: ' fee'}"  # which the tiny tokenizer knows
    return [
        "model=custom", f"model.path={tiny_llama(folder / 'llama')}", "adapter=qlora", "prompt=snli",
        f"prompt.label_words={words}", "dataset=snli", f"dataset.path={SNLI}", "dataset.train_split=train_sample",
        "dataset.train_every_nth=20", "study.study_name=words", f"study.space={space}", "study.n_trials=1",
        "study.pruner=none", f"run_dir={folder / 'run'}", "tracker=none", "trainer.num_train_epochs=1",
    ]  # fmt: skip


def test_the_shipped_prompt_fits_the_shipped_data(tmp_path: Path) -> None:
    plan = make_plan([*arguments(tmp_path), "prompt.label_words=null"])
    assert plan.config.prompt is not None
    assert plan.splits.labels.names == ("entailment", "neutral", "contradiction")


@pytest.mark.slow
def test_a_study_ends_with_what_the_base_scored_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["sweep", *arguments(tmp_path)])
    main()
    final = Store(tmp_path / "run").final()
    assert final is not None
    assert set(final.before) == set(final.retrain_best.metrics) | set(final.test)
    assert final.before["eval/loss"] > final.retrain_best.metrics["eval/loss"]
    assert "head" not in final.parameters.groups and final.test_readings == 1
    model, tokenizer = load(tmp_path / "run" / "final" / "model")
    assert model(**model.prompt.batch(tokenizer, ["a card"], ["the bank"])).logits.shape == (1, 3)
