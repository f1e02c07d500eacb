"""Metrics from a module that lies in the working directory, as a user's would."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import evaluate
import numpy as np
import pytest
from sklearn.metrics import matthews_corrcoef

from support import toys
from support.program import final, run
from support.tiny import tiny_bert
from sweep.config.custom_metrics import metric_faults, own_values, trial_faults
from sweep.config.schema import DatasetConfig
from sweep.engine.evaluation import Predictions, measure
from sweep.errors import UserError
from sweep.records.store import Store
from sweep.records.trial import Completed, Failed, FailureReason

MODULE = """
import numpy as np
import evaluate
import datasets
from sklearn.metrics import matthews_corrcoef

def brier(labels, probabilities):
    truth = np.eye(probabilities.shape[1])[labels]
    return ((probabilities - truth) ** 2).sum(axis=1).mean()

def undefined(labels, probabilities):
    return float("nan")

def accuracy(labels, probabilities):
    return 1.0

def text(labels, probabilities):
    return "good"

def raising(labels, probabilities):
    return labels[len(labels)]

def leaving(labels, probabilities):
    raise SystemExit("no")

def greedy(labels, probabilities, weights):
    return 0.0

def spoiling(labels, probabilities):
    labels[:] = 0
    probabilities[:] = 0
    return 0.0

class Plain:
    pass

class Column(evaluate.Metric):
    def _info(self):
        column = datasets.Value("int64")
        return evaluate.MetricInfo(description="", citation="", inputs_description="",
            features=datasets.Features({"predictions": column, "references": column}))

class Matthews(Column):
    def _compute(self, predictions, references):
        return {"matthews": matthews_corrcoef(references, predictions)}

class Two(Column):
    def _compute(self, predictions, references):
        return {"a": 1.0, "b": 2.0}
"""


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "mymetrics.py").write_text(MODULE)
    monkeypatch.setattr("evaluate.config.HF_METRICS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place not in ("", ".")])
    yield
    sys.modules.pop("mymetrics", None)


def rows() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    labels = np.array([0, 1, 2, 1])
    chances = np.array([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1], [0.4, 0.3, 0.3], [0.6, 0.2, 0.2]])
    return labels, chances.argmax(axis=1), chances


def test_a_function_is_given_labels_and_probabilities_and_a_metric_of_evaluate_predictions() -> None:
    labels, decided, chances = rows()
    found = own_values(["mymetrics.brier", "mymetrics.Matthews"], labels, decided, chances).values
    truth = np.eye(3)[labels]
    assert found["brier"] == pytest.approx(((chances - truth) ** 2).sum(axis=1).mean())
    assert found["Matthews"] == pytest.approx(matthews_corrcoef(labels, decided))
    assert issubclass(sys.modules["mymetrics"].Matthews, evaluate.Metric)


def test_of_several_metrics_those_that_fail_have_no_value() -> None:
    found = own_values(["mymetrics.text", "mymetrics.brier", "mymetrics.raising"], *rows())
    assert list(found.values) == ["brier"]
    (text,), (raising,) = (found.errors[name].faults for name in ("text", "raising"))
    assert text.message.endswith("gave 'good', but must give one number") and "IndexError" in raising.message


def test_an_evaluation_records_them_after_those_of_the_task_and_its_scores_cannot_be_changed() -> None:
    labels, _, chances = rows()
    predictions = Predictions(np.log(chances).astype(np.float32), labels, loss=0.5, seconds=0.0)
    own = ("mymetrics.spoiling", "mymetrics.brier", "mymetrics.undefined")
    found = measure("single_label", predictions, "eval", own=own).values
    assert list(found)[-4:] == ["eval/recall_weighted", "eval/spoiling", "eval/brier", "eval/undefined"]
    assert found["eval/brier"] == pytest.approx(own_values(["mymetrics.brier"], *rows()).values["brier"])
    assert np.isnan(found["eval/undefined"])
    plain = measure("single_label", predictions, "eval", own=()).values
    assert plain == {name: value for name, value in found.items() if name in plain}


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("mymetrics.brie", "has no brie (did you mean brier?)"),
        ("nomodule.metric", "names nomodule, and there is no such module in"),
        ("mymetrics.accuracy", "there is a metric accuracy already"),
        ("mymetrics.greedy", "must take labels and probabilities: missing a required argument: 'weights'"),
        ("mymetrics.Plain", "must be a function of labels and probabilities, or derive from evaluate.Metric"),
        ("mymetrics.text", "gave 'good', but must give one number"),
        ("mymetrics.Two", "gave {'a': 1.0, 'b': 2.0}, but must give one number"),
        ("mymetrics.raising", "when it was computed raised IndexError"),
        ("mymetrics.raising", "(mymetrics.py, line 21)"),
        ("mymetrics.leaving", "when it was computed raised SystemExit: no (mymetrics.py, line 24)"),
    ],
)
def test_a_plan_says_in_one_message_what_is_wrong(path: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as refused:
        toys.plan(tmp_path, f"dataset.metrics=[{path}]")
    (fault,) = refused.value.faults
    assert fault.path == "dataset.metrics" and fault.origin == "the command line"
    assert says in fault.message


def test_a_metric_that_changes_the_working_directory_does_not_move_the_study(tmp_path: Path) -> None:
    (tmp_path / "away").mkdir()
    go = f"os.chdir({str(tmp_path / 'away')!r})"
    (tmp_path / "mymetrics.py").write_text(f"import os\n{go}\ndef zero(labels, chances):\n    {go}\n    return 0\n")
    assert own_values(["mymetrics.zero"], *rows()).values == {"zero": 0.0}
    assert Path.cwd() == tmp_path


def test_two_metrics_of_one_name_are_refused() -> None:
    faults = list(metric_faults(DatasetConfig(metrics=("mymetrics.brier", "mymetrics.brier"))))
    assert [rule for _, rule in faults] == [
        "names mymetrics.brier, but there is a metric brier already; give the function another name"
    ]


def test_the_try_gives_a_multi_label_metric_marks_and_a_probability_for_each_label(tmp_path: Path) -> None:
    (tmp_path / "mymetrics.py").write_text(
        "def shapes(labels, probabilities):\n"
        "    assert labels.shape == probabilities.shape == (5, 4) and set(labels.ravel()) <= {0, 1}\n"
        "    return 0\n"
    )
    dataset = DatasetConfig(task="multi_label", metrics=("mymetrics.shapes",))
    assert trial_faults(dataset, np.eye(4, dtype=np.int64)[[0, 1, 2, 3, 0]], 4) == []


def test_an_objective_of_ones_own_may_be_minimized_and_a_wrong_name_is_reported(tmp_path: Path) -> None:
    asked = "dataset.metrics=[mymetrics.brier]"
    found = toys.plan(tmp_path, asked, "study.metric=eval/brier", "study.direction=minimize").config
    assert not found.study.objective.maximize
    assert toys.plan(tmp_path, asked, "study.metric=eval/brier").config.study.objective.maximize
    with pytest.raises(UserError, match=r"\(did you mean eval/brier\?\)"):
        toys.plan(tmp_path, asked, "study.metric=eval/brie")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("bert"))


def small(model: Path, folder: Path) -> list[str]:
    """Overrides of a study of few rows and two epochs."""
    return [
        "+experiment=quickstart", f"model.path={model}", f"run_dir={folder / 'run'}", "tracker=none",
        "study.space=null", "study.pruner=none", "study.sampler=random", "trainer.num_train_epochs=2",
        "trainer.eval_strategy=epoch", "dataset.max_train_samples=48", "dataset.max_eval_samples=27",
        "dataset.max_test_samples=28",
    ]  # fmt: skip


@pytest.mark.parametrize("engine", ["trainer", pytest.param("packed", marks=pytest.mark.slow)])
def test_a_study_is_searched_by_it_tested_with_it_and_resumed_with_the_same_code_only(
    engine: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def asked(trials: int) -> int:
        return run(
            monkeypatch, *small(model, tmp_path), f"study.n_trials={trials}", f"engine={engine}",
            "dataset.metrics=[mymetrics.brier,mymetrics.Matthews]", "study.metric=eval/brier",
            "study.direction=minimize",
        )  # fmt: skip

    assert asked(2) == 0
    store = Store(tmp_path / "run")
    lock = store.lock()
    assert lock is not None and lock.versions["mymetrics.brier"].startswith("sha256 ")
    for trial in store.trials():
        assert isinstance(trial.outcome, Completed)
        values = [point.metrics["eval/brier"] for point in trial.outcome.evals]
        assert trial.outcome.best.metrics["eval/brier"] == min(values)
        assert "eval/Matthews" in trial.outcome.best.metrics
    assert 0 < final(tmp_path).test["test/brier"] < 2 and "test/Matthews" in final(tmp_path).test
    (tmp_path / "mymetrics.py").write_text(MODULE.replace("mean()", "max()"))
    sys.modules.pop("mymetrics")
    capsys.readouterr()
    assert asked(3) == 2
    output = capsys.readouterr().err
    assert "code of mymetrics.brier: was 'sha256" in output and "Traceback" not in output
    (tmp_path / "mymetrics.py").write_text(MODULE)
    sys.modules.pop("mymetrics")
    assert asked(3) == 0 and len(store.trials()) == 3


def test_a_trial_whose_objective_is_defined_nowhere_fails_as_diverged(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    metric = ["dataset.metrics=[mymetrics.undefined]", "study.metric=eval/undefined"]
    assert run(monkeypatch, *small(model, tmp_path), *metric, "study.n_trials=1", "engine=trainer") == 2
    (trial,) = Store(tmp_path / "run").trials()
    assert isinstance(trial.outcome, Failed) and trial.outcome.reason is FailureReason.DIVERGED
    assert trial.outcome.message == "eval/undefined is no finite number in any evaluation"
    assert len(trial.outcome.evals) == 2 and "Traceback" not in capsys.readouterr().err
