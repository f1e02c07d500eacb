"""An effective batch trains the same however it is split."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support import toys
from support.tiny import tiny_bert
from sweep.config.batch import EFFECTIVE
from sweep.launch.inline import Inline
from sweep.plan.plan import Plan
from sweep.records.trial import Completed, Outcome, Verdict

SMALL = [
    "dataset.max_train_samples=40", "dataset.max_eval_samples=30", "dataset.max_test_samples=30", "optimizer.learning_rate=1e-2",
    "trainer.num_train_epochs=1", "study.space=null", "study.n_trials=1", "study.pruner=none", f"{EFFECTIVE}=16",
]  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model without dropout, which draws other masks for other batches."""
    folder = tiny_bert(tmp_path_factory.mktemp("bert"))
    file = folder / "config.json"
    config = json.loads(file.read_text())
    dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    file.write_text(json.dumps(config | dropout))
    return folder


@pytest.mark.parametrize(
    ("engine", "adapter", "trained_by"),
    [
        ("packed", "lora", "packed"),
        pytest.param("trainer", "lora", "trainer", marks=pytest.mark.slow),
        pytest.param("auto", "head", "frozen", marks=pytest.mark.slow),
    ],
)
def test_scores_do_not_depend_on_the_split(
    model: Path, tmp_path: Path, engine: str, adapter: str, trained_by: str
) -> None:
    dropout = ["adapter.lora_dropout=0"] if adapter == "lora" else []
    plan = toys.plan(tmp_path, f"model.path={model}", f"engine={engine}", f"adapter={adapter}", *dropout, *SMALL)
    whole, split = trained(plan, None, 4)
    assert whole.cost.engine == split.cost.engine == trained_by
    assert [point.step for point in whole.evals] == [point.step for point in split.evals]
    for one, other in zip(whole.evals, split.evals, strict=True):
        assert one.metrics == pytest.approx(other.metrics, abs=1e-4)
    assert whole.best.metrics["eval/loss"] != pytest.approx(whole.evals[0].metrics["eval/loss"], abs=1e-3)


def trained(plan: Plan, *batches: int | None) -> list[Completed]:
    """Return the outcomes of a trial that is split into batches of so many rows."""
    trials = iter([plan.trial(number, {}, batch=batch) for number, batch in enumerate(batches)])
    ended: dict[int, Outcome] = {}
    Inline.of(plan).workspace.engine(lambda _: None).run(
        lambda: next(trials, None), lambda *_: Verdict.CONTINUE, lambda *_: Verdict.CONTINUE,
        lambda trial, outcome: ended.update({trial.number: outcome}),
    )  # fmt: skip
    return [outcome for _, outcome in sorted(ended.items()) if isinstance(outcome, Completed)]
