"""Run directories made by hand: every number in them is known, so every number in a report can be
checked."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Sequence, Set
from dataclasses import replace
from pathlib import Path

import pytest

from sweep.analysis import facts as facts_module
from sweep.analysis import study as study_module
from sweep.analysis.facts import Facts, read
from sweep.analysis.study import analyse
from sweep.config.published import PublishedConfig, PublishedTraining, PublishedTrial
from sweep.config.schema import Config, DatasetConfig, StudyConfig, TrackerConfig
from sweep.provenance import DataState, GitState, ModelState
from sweep.records.cost import Cost
from sweep.records.events import append_row
from sweep.records.final import Candidate, Confirmation, FinalRecord, ParameterGroup, Parameters
from sweep.records.lock import Lock
from sweep.records.store import Store
from sweep.records.trial import Completed, EvalPoint, Failed, FailureReason, Outcome, Pruned, Step, TrialRecord
from sweep.report.environment import environment, render
from sweep.report.layout import laid_out
from sweep.report.write import document, write_report

LABELS = (
    "card_lost", "card_arrival", "refund", "refund_status", "login", "password", "invoice", "delivery", "return",
    "warranty", "cancel", "other | <none>",
)  # fmt: skip
LR, BATCH = "optimizer.learning_rate", "trainer.per_device_train_batch_size"
SPACE = {LR: {"low": 1e-5, "high": 1e-2, "log": True}, BATCH: {"choices": [8, 16]}}
PUBLISHED = PublishedConfig(
    source="A made-up source",
    model="someone/bigger-model",
    rows={"train": 480, "validation": 120, "test": 99},
    trials=(
        PublishedTrial(
            params={LR: 1e-4, BATCH: 8},
            eval={"eval/loss": 1.5, "eval/accuracy": 0.6},
            eval_by_epoch={"eval/accuracy": (0.4, 0.5, 0.6)},
        ),
        PublishedTrial(params={LR: 7e-4, BATCH: 8}, eval={"eval/loss": 0.7, "eval/accuracy": 0.88}),
    ),
    best_trial=1,
    train=PublishedTraining(steps=180, seconds=20.5, samples_per_second=70.2, flops=3.5e12, train_loss=0.91),
    test={"test/accuracy": 0.8765},
    test_seconds=2.5,
    notes="Nothing else is known.",
)


def evals(accuracies: Sequence[float], losses: Sequence[float], steps: int = 60) -> tuple[EvalPoint, ...]:
    return tuple(
        EvalPoint(
            index=index,
            step=index * steps,
            epoch=float(index),
            metrics={
                "eval/loss": loss,
                "eval/accuracy": accuracy,
                "eval/f1_macro": accuracy - 0.02,
                "eval/f1_weighted": accuracy - 0.01,
            },
        )
        for index, (accuracy, loss) in enumerate(zip(accuracies, losses, strict=True), start=1)
    )


def cost(seconds: float, steps: int, loss: float | None = None) -> Cost:
    return Cost(
        seconds=seconds,
        train_seconds=seconds * 0.75,
        eval_seconds=seconds * 0.125,
        steps=steps,
        samples=steps * 8,
        flops=steps * 2e9,
        train_loss=loss,
        peak_host_bytes=3 * 1024**3,
        eval_samples=steps * 2,
        device="A CPU",
    )


def trial(number: int, params: dict[str, float | int | str], outcome: Outcome, total_steps: int = 180) -> TrialRecord:
    words = " ".join(f"{key}={value}" for key, value in params.items())
    return TrialRecord(
        number=number,
        params=params,
        outcome=outcome,
        command=f"python -m sweep +experiment=toy {words}",
        total_steps=total_steps,
        started=f"2026-01-01T10:{number:02d}:00.000+00:00",
        finished=f"2026-01-01T10:{number:02d}:50.000+00:00",
        tracker_run=f"run-{number}",
    )


def completed(
    number: int, accuracies: Sequence[float], losses: Sequence[float], params: dict[str, float | int | str]
) -> TrialRecord:
    points = evals(accuracies, losses)
    best = max(points, key=lambda point: point.metrics["eval/accuracy"])
    return trial(number, params, Completed(best=best, evals=points, cost=cost(24.0, 60 * len(points), 0.9)))


def lock(config: Config, labels: Sequence[str] = LABELS) -> Lock:
    return Lock(
        experiment="e1",
        config=config,
        space=SPACE,
        command="python -m sweep +experiment=toy",
        seeds={"study": 1, "trainer": 2, "dataset": 3},
        versions={"torch": "2.13.0", "optuna": "5.0.0"},
        machine={"python": "3.11.9", "cpu": "A CPU"},
        git=GitState(commit="abc1234", dirty=True, diff="+ one\n- two\n"),
        data=DataState(
            source="data/toy",
            revision="",
            fingerprint="d1",
            rows={"train": 480, "validation": 120, "test": 100},
            label_names=tuple(labels),
        ),
        model=ModelState(path="org/small-model", revision="r1", fingerprint="m1"),
        created="2026-01-01T10:00:00.000+00:00",
    )


def config(**study: object) -> Config:
    return Config(
        title="Toy help desk",
        run_dir="runs/toy",
        dataset=DatasetConfig(path="data/toy"),
        study=StudyConfig.model_validate(
            {"study_name": "toy", "n_trials": 6, "space": "toy", "pruner": "median", **study}
        ),
        tracker=TrackerConfig(name="none"),
        published=PUBLISHED,
    )


def six_trials() -> tuple[TrialRecord, ...]:
    """Completed, the winner, pruned, diverged, out of memory, interrupted."""
    broken = evals([0.3, 0.25], [1.9, math.nan])
    return (
        completed(0, [0.41, 0.52, 0.6125], [2.2, 1.7, 1.4], {LR: 1e-4, BATCH: 8}),
        completed(1, [0.71, 0.8833, 0.875], [1.1, 0.52, 0.61], {LR: 1.5e-3, BATCH: 16}),
        trial(2, {LR: 1.2e-5, BATCH: 16}, Pruned(evals=evals([0.09], [2.48]), cost=cost(6.0, 60))),
        trial(3, {LR: 9e-3, BATCH: 8}, Failed(FailureReason.DIVERGED, "loss is nan at step 61", broken, cost(7.0, 61))),
        trial(
            4, {LR: 2e-3, BATCH: 16}, Failed(FailureReason.OUT_OF_MEMORY, "asked for 2 GiB | had 1", (), cost(1.0, 3))
        ),
        trial(5, {LR: 8e-4, BATCH: 8}, Failed(FailureReason.INTERRUPTED, "", evals([0.5], [1.6]), cost(5.0, 70))),
    )


def matrix(labels: Sequence[str], right: int, wrong: int) -> tuple[tuple[int, ...], ...]:
    """`right` rows a label on the diagonal; `wrong` of every third label taken for the next
    one."""
    number = len(labels)
    return tuple(
        tuple(right if i == j else wrong if i % 3 == 0 and j == (i + 1) % number else 0 for j in range(number))
        for i in range(number)
    )


def final(
    winner: TrialRecord, labels: Sequence[str] = LABELS, confusion: tuple[tuple[int, ...], ...] | None = None
) -> FinalRecord:
    assert isinstance(winner.outcome, Completed)
    counts = confusion or matrix(labels, 7, 4)
    rows = sum(map(sum, counts))
    return FinalRecord(
        number=winner.number,
        params=winner.params,
        command=winner.command,
        trial_best=winner.outcome.best,
        retrain_best=winner.outcome.best,
        trial_evals=winner.outcome.evals,
        retrain_evals=winner.outcome.evals,
        test={"test/loss": 0.55, "test/accuracy": 0.84, "test/f1_macro": 0.8311, "test/f1_weighted": 0.8322},
        test_seconds=2.0,
        test_rows=rows,
        baseline={"test/accuracy": 0.11, "test/f1_macro": 0.0165, "test/f1_weighted": 0.0218, "eval/accuracy": 0.1},
        cost=cost(25.0, 180, 0.87),
        parameters=Parameters(
            total=22_700_000,
            trainable=227_000,
            bytes=90_000_000,
            groups={
                "embeddings": ParameterGroup(11_900_000, 0, 47_600_000),
                "base": ParameterGroup(10_573_000, 0, 41_492_000),
                "adapter": ParameterGroup(200_000, 200_000, 800_000),
                "head": ParameterGroup(27_000, 27_000, 108_000),
            },
        ),
        label_names=tuple(labels),
        confusion=counts,
        config=Config(),
    )


def confirmation() -> Confirmation:
    """Trial 0 overtakes trial 1, the best of the search, over three fresh seeds."""
    return Confirmation(
        candidates=(
            Candidate(0, {LR: 1e-4, BATCH: 8}, 0.6125, (0.84, 0.86, 0.85), 0.85, (0.8252, 0.8748)),
            Candidate(1, {LR: 1.5e-3, BATCH: 16}, 0.8833, (0.7, 0.8, 0.75), 0.75, (0.6258, 0.8742)),
        ),
        optimism=0.1333,
        cost=cost(120.0, 1080),
    )


def emotions() -> tuple[Config, FinalRecord]:
    """A multi-label study of 100 test rows whose thresholds were tuned."""
    data = DatasetConfig(path="x", task="multi_label", text_column="tweet")
    settings = config(metric="eval/f1_macro").model_copy(update={"dataset": data})
    winner = six_trials()[1]
    ending = replace(
        final(winner, LABELS[:3], confusion=((50, 10, 5, 35), (90, 0, 10, 0), (20, 20, 20, 40))),
        test={"test/loss": 0.3, "test/subset_accuracy": 0.25, "test/f1_macro": 0.5, "test/jaccard": 0.4},
        untuned={"test/loss": 0.3, "test/subset_accuracy": 0.2, "test/f1_macro": 0.4, "test/jaccard": 0.3},
        tuned={"eval/loss": 0.35, "eval/subset_accuracy": 0.35, "eval/f1_macro": 0.6, "eval/jaccard": 0.5},
        baseline={"eval/subset_accuracy": 0.3, "test/subset_accuracy": 0.31, "test/f1_macro": 0.0},
        thresholds=(0.31, 0.5, 0.72),
        test_rows=100,
    )
    return settings, ending


def log_events(store: Store, record: TrialRecord, points: Sequence[EvalPoint]) -> None:
    for point in points:
        for step in range(point.step - 50, point.step + 1, 10):
            loss = 2.4 / (1 + step / 60)
            append_row(Step(step, record.total_steps, step / 60, {"train/loss": loss}), store.trial_dir(record.number))
        append_row(point, store.trial_dir(record.number))


def write_predictions(store: Store, labels: Sequence[str], confusion: Sequence[Sequence[int]]) -> None:
    store.final_dir.mkdir(parents=True, exist_ok=True)
    with (store.final_dir / "predictions.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["index", "text", "label", "predicted", "confidence"])
        index = 0
        for i, row in enumerate(confusion):
            for j, count in enumerate(row):
                for repeat in range(count):
                    text = f"Row {index}: <b>where</b> is | my `{labels[i]}`?\nPlease & thanks, $5"
                    confidence = 0.95 - 0.001 * index if i == j else 0.9 - 0.01 * repeat
                    writer.writerow([index, text, labels[i], labels[j], f"{confidence:.4f}"])
                    index += 1


def build(
    root: Path,
    trials: Sequence[TrialRecord] = (),
    *,
    settings: Config | None = None,
    ending: FinalRecord | None = None,
    labels: Sequence[str] = LABELS,
) -> Store:
    store = Store(root)
    store.write_lock(lock(settings or config(), labels))
    for record in trials:
        log_events(store, record, record.outcome.evals)
        store.write_trial(record)
    if ending is not None:
        store.write_final(ending)
        write_predictions(store, labels, ending.confusion)
    return store


def words(store: Store) -> str:
    """The report without its figures, and without writing it."""
    return document(analyse(read(store)), frozenset())


def folded(facts: Facts, folds: int) -> Facts:
    """Return the facts of a study with so many folds."""
    dataset = facts.config.dataset.model_copy(update={"folds": folds})
    return replace(facts, lock=replace(facts.lock, config=facts.config.model_copy(update={"dataset": dataset})))


def part(name: str, facts: Facts, drawn: Set[str] = frozenset()) -> str:
    """One section of the report."""
    return render(f"study/{name}.md.j2", study=analyse(facts), drawn=drawn, undrawn="", written=None)


def sentences(template: str, macro: str, *values: object) -> list[str]:
    """The lines that a macro of a template writes."""
    made = getattr(environment().get_template(f"study/{template}.md.j2").module, macro)
    return [line for line in laid_out(made(*values)).split("\n") if line]


def section(text: str, title: str) -> str:
    return text.partition(f"## {title}")[2].split("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    """The cells of every table row, bold marks taken off."""
    return [
        [cell.strip().strip("*") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in text.splitlines()
        if line.startswith("|")
    ]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A study that has ended: six trials of six kinds, a winner, 12 labels, published figures."""
    trials = six_trials()
    return build(tmp_path / "run", trials, ending=final(trials[1]))


@pytest.fixture(scope="session")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The same study with its report written, once for all tests that only read it."""
    root = tmp_path_factory.mktemp("reported")
    trials = six_trials()
    made = build(root / "run", trials, ending=final(trials[1]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SWEEP_CACHE", str(root / "cache"))
        write_report(made)
    return made


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Store]:
    """`build` into a fresh folder."""
    return lambda *arguments, **options: build(tmp_path / "made", *arguments, **options)


@pytest.fixture
def analysed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that gets `read` for each reading of all records, and `analysed` for each
    analysis."""
    found: list[str] = []

    def noting(word: str, function: Callable[..., object]) -> Callable[..., object]:
        def noted(*given: object) -> object:
            found.append(word)
            return function(*given)

        return noted

    monkeypatch.setattr(facts_module, "read_lock", noting("read", facts_module.read_lock))
    monkeypatch.setattr(study_module, "outlook", noting("analysed", study_module.outlook))
    return found
