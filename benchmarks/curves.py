"""Tables of learning curves for replaying searches: points of a search space, each trained once to
the end."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.table import RESULTS
from sweep.config.schema import Scalar
from sweep.config.space import Space, load
from sweep.config.steps import warmup_steps
from sweep.provenance import machine, now, package_versions
from sweep.records.trial import Completed
from sweep.search.progress import progress, rate_sum

SPACES = Path(__file__).parent / "spaces"
EVALUATION = 1 / 3  # of what training the same rows costs
_FINE = 1000  # a report step in parts, where optimizer steps are not recorded
_METRIC, _WARMUP = "eval/accuracy", "optimizer.warmup_steps"
_GROUPS = {"adapter": ("lora", "ia3")}


@dataclass(frozen=True, slots=True)
class Curve:
    """The learning curve of one point: its score at each evaluation, and the seconds of training
    and evaluation. `at` are the report steps of its evaluations; empty takes those of the table.
    `losses` and `steps`, the optimizer steps of the evaluations, may be empty: not recorded."""

    params: Mapping[str, Scalar]
    scores: tuple[float, ...]
    seconds: float = 0.0
    at: tuple[int, ...] = ()
    losses: tuple[float, ...] = ()
    steps: tuple[int, ...] = ()

    @property
    def warmup_share(self) -> float:
        """Return the share of its steps that are warmup. Without recorded steps the warmup is a
        share in the search space, if it is searched at all."""
        warmup = float(self.params.get(_WARMUP, 0.0))
        return warmup_steps(self.steps[-1], warmup) / self.steps[-1] if self.steps else warmup

    def progress(self, place: int, length: int, at: int) -> float:
        """Return the progress of its linear schedule at an evaluation: the one at `place`, at the
        report step `at` of `length`."""
        if self.steps:
            warmup = warmup_steps(self.steps[-1], float(self.params.get(_WARMUP, 0.0)))
            return progress(self.steps[place], total=self.steps[-1], warmup=warmup, schedule="linear")
        return progress(
            at * _FINE, total=length * _FINE, warmup=round(self.warmup_share * length * _FINE), schedule="linear"
        )

    @property
    def rates(self) -> float | None:
        """Return the sum of the learning rates of its linear schedule; None without recorded
        steps."""
        if not self.steps:
            return None
        total, rate = self.steps[-1], float(self.params["optimizer.learning_rate"])
        return rate_sum(rate, total=total, warmup=round(self.warmup_share * total), schedule="linear")


@dataclass(frozen=True, slots=True)
class Table:
    """Learning curves of one search space. `at` are the report steps of the evaluations, each of
    `unit` epochs; the last one is the end of training. A curve with report steps of its own has
    them in `Curve.at`; `at` is then that of the longest. `rows` are trained in an epoch."""

    name: str
    rows: int
    validation_rows: int
    space: Space
    curves: tuple[Curve, ...]
    at: tuple[int, ...]
    unit: float = 1.0

    @property
    def length(self) -> int:
        """Return the length of a trial in report steps."""
        return self.at[-1]

    def at_of(self, curve: Curve) -> tuple[int, ...]:
        return curve.at or self.at

    @property
    def gaps(self) -> list[int]:
        """Return the report steps from each evaluation to the next."""
        return gaps(self.at)

    @property
    def epochs(self) -> int:
        return round(self.length * self.unit)

    def cost(self, report_steps: float, evaluations: float) -> float:
        """Return the cost in rows trained."""
        return report_steps * self.unit * self.rows + evaluations * self.validation_rows * EVALUATION

    @property
    def full_cost(self) -> float:
        """Return the cost of one trial at full length that is evaluated after each epoch."""
        return self.cost(self.length, self.epochs)

    @property
    def early(self) -> bool:
        """Return whether there are evaluations within an epoch."""
        return self.unit < 1

    def after_epochs(self) -> Table:
        """The same points without the evaluations within an epoch."""
        places = [place for place, at in enumerate(self.at) if (at * self.unit).is_integer()]
        curves = tuple(replace(curve, scores=tuple(curve.scores[place] for place in places)) for curve in self.curves)
        at = tuple(round(self.at[place] * self.unit) for place in places)
        return replace(self, name=f"{self.name}, after epochs", curves=curves, at=at, unit=1.0)


def gaps(at: tuple[int, ...]) -> list[int]:
    return [here - before for before, here in pairwise((0, *at))]


@dataclass(frozen=True, slots=True)
class Recipe:
    """The values that make a table. `overrides` are as on the command line; `intents` takes the
    rows of the first few intents, by name. `source` is the folder of the data."""

    about: str
    experiment: str
    space: str
    points: int
    overrides: tuple[str, ...]
    intents: int | None = None
    source: str | None = None


_RECIPES = {
    "head": Recipe(
        "head on cached features, all 8,002 rows, 12 epochs", "minilm_banking77_head", "head", 32,
        ("trainer.num_train_epochs=12", "trainer.eval_strategy=epoch"),
    ),
    "head_short": Recipe(
        "head on cached features, every fourth row, 6 epochs", "minilm_banking77_head", "head", 96,
        ("trainer.num_train_epochs=6", "dataset.train_every_nth=4", "trainer.eval_strategy=epoch"),
    ),
    "head_early": Recipe(
        "head on cached features, all 8,002 rows, 6 epochs, evaluated early too", "minilm_banking77_head", "head", 48,
        ("trainer.num_train_epochs=6", "trainer.eval_strategy=early"),
    ),
    "head_short_early": Recipe(
        "head on cached features, every fourth row, 3 epochs, evaluated early too", "minilm_banking77_head", "head", 64,
        ("trainer.num_train_epochs=3", "dataset.train_every_nth=4", "trainer.eval_strategy=early", "study.seed=1"),
    ),
    "adapters": Recipe(
        "LoRA and IA3, 20 intents, 400 rows, 3 epochs, evaluated early too", "compare_adapters_banking77", "adapters", 34,
        ("trainer.num_train_epochs=3", "trainer.eval_strategy=early", "dataset.max_train_samples=400",
         "dataset.max_eval_samples=300", "study.compare_by=null", "engine=packed"),
        intents=20,
    ),
}  # fmt: skip
TABLES = tuple(_RECIPES)


def recorded() -> tuple[str, ...]:
    return tuple(name for name in TABLES if path_of(name).exists())


def about(name: str) -> str:
    return _RECIPES[name].about


def path_of(name: str) -> Path:
    return RESULTS / f"curves_{name}.json"


def read(name: str) -> Table:
    found = json.loads(path_of(name).read_text())
    curves = tuple(Curve(entry["params"], tuple(entry["scores"]), entry["seconds"]) for entry in found["curves"])
    space, faults = load(SPACES / f"{_RECIPES[name].space}.yaml", _GROUPS)
    assert not faults, faults
    at = tuple(found.get("at", range(1, len(curves[0].scores) + 1)))
    return Table(found["name"], found["rows"], found["validation_rows"], space, curves, at, found.get("unit", 1.0))


def record(name: str, data: Path, runs: Path, *, points: int | None = None) -> None:
    """Train what is missing of a table with the project's own study, and write the table.

    Each trial is on disk as soon as it ends, so that a run that stops goes on where it was; a
    trial that diverges has no curve to its end, and is left out. `data` is a folder with
    Banking77's train.csv and test.csv; the test split is not read.
    """
    from sweep.plan.plan import make_plan
    from sweep.search.report_steps import ReportSteps
    from sweep.study.search import search
    from sweep.study.session import opened

    recipe = _RECIPES[name]
    if recipe.intents is not None:
        data = of_first_intents(data, runs / f"{name}_data", recipe.intents)
    plan = make_plan([
        f"+experiment={recipe.experiment}", f"dataset.path={data.resolve()}", f"run_dir={runs / name}",
        f"study.space={SPACES / recipe.space}.yaml", f"study.n_trials={points or recipe.points}", "study.enqueue=[]",
        "study.sampler=random", "study.pruner=none", "tracker=none", "trainer.save_best=false", *recipe.overrides,
    ])  # fmt: skip
    with opened(plan) as session:
        trials = search(session)
    whole = [trial for trial in trials if isinstance(trial.outcome, Completed)]
    curves = tuple(_curve(trial.params, trial.outcome) for trial in whole)
    report_steps = ReportSteps.of([corner.trainer for corner in plan.corners], plan.space, len(plan.splits.train))
    config = plan.trial(whole[0].number, whole[0].params).config
    at, unit = (
        tuple(report_steps.nearest(config.trainer, point.step) for point in whole[0].outcome.evals),
        float(report_steps.unit),
    )
    _write(Table(name, len(plan.splits.train), len(plan.splits.validation), plan.space, curves, at, unit))


def of_first_intents(data: Path, folder: Path, count: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    kept: set[str] = set()
    for split in ("train", "test"):
        with (data / f"{split}.csv").open(newline="") as source:
            rows = list(csv.DictReader(source))
        kept = kept or set(sorted({row["category"] for row in rows})[:count])
        with (folder / f"{split}.csv").open("w", newline="") as target:
            writer = csv.DictWriter(target, ("text", "category"))
            writer.writeheader()
            writer.writerows(row for row in rows if row["category"] in kept)
    return folder


def _curve(params: Mapping[str, Scalar], outcome: Completed) -> Curve:
    scores = tuple(round(point.metrics[_METRIC], 6) for point in outcome.evals)
    return Curve(params, scores, round(outcome.cost.train_seconds + outcome.cost.eval_seconds, 2))


def _entry(curve: Curve) -> dict[str, Any]:
    return {name: value for name, value in asdict(curve).items() if name in ("params", "scores", "seconds")}


def _write(table: Table) -> None:
    whole = {
        "name": table.name, "about": about(table.name), "metric": _METRIC, "date": now(), "machine": machine(),
        "versions": package_versions(), "rows": table.rows, "validation_rows": table.validation_rows,
        "unit": table.unit, "at": list(table.at),
    }  # fmt: skip
    lines = ",\n".join(f"  {json.dumps(_entry(curve))}" for curve in table.curves)
    head = json.dumps(whole, indent=1)[:-2]
    path_of(table.name).write_text(f'{head},\n "curves": [\n{lines}\n ]\n}}\n')
