"""Tables of learning curves: points of a search space, each trained once to the end, for replaying searches."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.table import RESULTS
from sweep.config.schema import Scalar
from sweep.config.space import Space, load
from sweep.provenance import machine, now, package_versions
from sweep.records import Completed

SPACES = Path(__file__).parent / "spaces"
_METRIC = "eval/accuracy"
_GROUPS = {"adapter": ("lora", "ia3")}


@dataclass(frozen=True, slots=True)
class Curve:
    """One point: the score after each epoch, counted from 1, and the seconds of training and evaluation."""

    params: Mapping[str, Scalar]
    scores: tuple[float, ...]
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Table:
    """All curves are equally long. `rows` are trained in an epoch."""

    name: str
    rows: int
    validation_rows: int
    space: Space
    curves: tuple[Curve, ...]

    @property
    def epochs(self) -> int:
        return len(self.curves[0].scores)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a table is made. `overrides` are as on the command line."""

    about: str
    experiment: str
    space: str
    points: int
    overrides: tuple[str, ...]


_RECIPES = {
    "head": Recipe("head on cached features, all rows, 12 epochs", "minilm_banking77_head", "head", 96,
                   ("trainer.num_train_epochs=12",)),
    "head_short": Recipe("head on cached features, every fourth row, 6 epochs", "minilm_banking77_head", "head", 96,
                         ("trainer.num_train_epochs=6", "dataset.train_every_nth=4")),
    "adapters": Recipe("LoRA and IA3, 308 rows, 9 epochs", "compare_adapters_banking77", "adapters", 32,
                       ("trainer.num_train_epochs=9", "dataset.max_train_samples=308", "dataset.max_eval_samples=400",
                        "study.compare_by=null")),
}  # fmt: skip
TABLES = tuple(_RECIPES)


def about(name: str) -> str:
    return _RECIPES[name].about


def path_of(name: str) -> Path:
    return RESULTS / f"curves_{name}.json"


def read(name: str) -> Table:
    found = json.loads(path_of(name).read_text())
    curves = tuple(Curve(entry["params"], tuple(entry["scores"]), entry["seconds"]) for entry in found["curves"])
    space, faults = load(SPACES / f"{_RECIPES[name].space}.yaml", _GROUPS)
    assert not faults, faults
    return Table(found["name"], found["rows"], found["validation_rows"], space, curves)


def record(name: str, data: Path, runs: Path, *, points: int | None = None) -> None:
    """Train what is missing of a table with the project's own study, and write the table.

    Each trial is on disk as soon as it ends, so that a run that stops goes on where it was; a trial that diverges has no
    curve to its end, and is left out. `data` is a folder with Banking77's train.csv and test.csv; the test split is not
    read.
    """
    from sweep.plan import make_plan
    from sweep.study.search import search
    from sweep.study.session import opened

    recipe = _RECIPES[name]
    plan = make_plan([
        f"+experiment={recipe.experiment}", f"dataset.path={data.resolve()}", f"run_dir={runs / name}",
        f"study.space={SPACES / recipe.space}.yaml", f"study.n_trials={points or recipe.points}", "study.enqueue=[]",
        "study.sampler=random", "study.pruner=none", "tracker=none", "trainer.save_best=false", *recipe.overrides,
    ])  # fmt: skip
    with opened(plan) as session:
        trials = search(session)
    curves = tuple(_curve(trial.params, trial.outcome) for trial in trials if isinstance(trial.outcome, Completed))
    _write(Table(name, len(plan.splits.train), len(plan.splits.validation), plan.space, curves))


def _curve(params: Mapping[str, Scalar], outcome: Completed) -> Curve:
    scores = tuple(round(point.metrics[_METRIC], 6) for point in outcome.evals)
    return Curve(params, scores, round(outcome.cost.train_seconds + outcome.cost.eval_seconds, 2))


def _write(table: Table) -> None:
    whole = {
        "name": table.name, "about": about(table.name), "metric": _METRIC, "date": now(), "machine": machine(),
        "versions": package_versions(), "rows": table.rows, "validation_rows": table.validation_rows,
    }  # fmt: skip
    lines = ",\n".join(f"  {json.dumps(asdict(curve))}" for curve in table.curves)
    head = json.dumps(whole, indent=1)[:-2]
    path_of(table.name).write_text(f'{head},\n "curves": [\n{lines}\n ]\n}}\n')
