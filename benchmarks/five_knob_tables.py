"""Tables of learning curves over the five knobs, recorded with the project's own study.

A table holds random points of one of the search spaces in `sweeps/`, each trained to its end, with
its score and loss at every early evaluation. `five_knobs` replays them and records them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from benchmarks.curves import Curve, Recipe, Table, of_first_intents
from benchmarks.table import RESULTS
from sweep.config.folders import sweeps_dir
from sweep.config.space import load
from sweep.config.steps import nearest
from sweep.provenance import machine, now, package_versions
from sweep.records.trial import Completed, EvalPoint

UNIT = Fraction(1, 8)  # of an epoch: the finest interval of early evaluations
POINTS = 64
_PACKED = ("engine=packed", "engine.slots=8")
_LORA = ("dataset.max_train_samples=400", "dataset.max_eval_samples=400", "adapter.r=8", "adapter.lora_alpha=16",
         "trainer.decision_threshold=0.5", *_PACKED)  # fmt: skip


def _recipes() -> dict[str, Recipe]:
    """Return the recipes by name: the task and the search space."""
    found = {}
    for place, space in enumerate(("quickstart", "five_knobs", "dialogpt_qlora")):
        found |= {
            f"banking77_{space}": Recipe(
                "Banking77, a head on MiniLM's cached features", "minilm_banking77_head", space, POINTS,
                (f"study.seed={4 + place}", "study.metric=eval/accuracy"), source="banking77",
            ),
            f"semeval_{space}": Recipe(
                "SemEval-2018 emotions, a head on MiniLM's cached features", "minilm_semeval_head", space, POINTS,
                (f"study.seed={(7, 9, 8)[place]}", "study.metric=eval/f1_macro"), source="semeval2018_ec",
            ),
            f"banking20_{space}": Recipe(
                "20 intents of Banking77, 400 rows, LoRA of rank 8 on MiniLM", "minilm_banking77_lora", space, POINTS,
                (f"study.seed={4 + place}", "study.metric=eval/accuracy", *_LORA), intents=20, source="banking77",
            ),
        }  # fmt: skip
    for seed, space in enumerate(("quickstart", "five_knobs"), 1):
        found[f"helpdesk_{space}"] = Recipe(
            "help-desk tickets, LoRA of rank 8 on MiniLM", "quickstart", space, POINTS,
            (f"study.seed={seed}", "study.metric=eval/accuracy", *_PACKED),
        )  # fmt: skip
    return found


RECIPES = _recipes()
FIRST = "quickstart"  # 40 points of the help-desk tickets, recorded without a recipe


def recorded() -> tuple[str, ...]:
    return (FIRST, *(name for name in RECIPES if path_of(name).exists()))


def path_of(name: str) -> Path:
    return RESULTS / f"five_knobs_{name}.json"


def read(name: str = FIRST) -> Table:
    found = json.loads(path_of(name).read_text())
    curves = tuple(_curve(entry["params"], entry["evals"]) for entry in found["trials"])
    space, faults = load(sweeps_dir() / f"{RECIPES[name].space if name in RECIPES else FIRST}.yaml", {})
    assert not faults, faults
    longest = max((curve.at for curve in curves), key=lambda at: at[-1])
    return Table(found["name"], found["rows"], found["validation_rows"], space, curves, longest, float(UNIT))


def record(name: str, data: Path, runs: Path, *, points: int | None = None) -> None:
    """Train what is missing of a table in the run directory `runs`/`name`, and write the table.

    Each trial is on disk as soon as it ends, so that a run that stops goes on where it was. `data`
    is a folder that has the recipe's source. The test split is not read.
    """
    from sweep.plan.plan import make_plan
    from sweep.study.search import search
    from sweep.study.session import opened

    recipe, path = RECIPES[name], []
    if recipe.source is not None:
        source = data / recipe.source
        if recipe.intents is not None:
            source = of_first_intents(source, runs / f"{name.split('_', maxsplit=1)[0]}_data", recipe.intents)
        path = [f"dataset.path={source.resolve()}"]
    plan = make_plan([
        f"+experiment={recipe.experiment}", *path, f"run_dir={runs / name}", f"study.space={recipe.space}",
        f"study.n_trials={points or recipe.points}", "study.enqueue=[]", "study.sampler=random", "study.pruner=none",
        "tracker=none", "trainer.save_best=false", "trainer.eval_strategy=early", *recipe.overrides,
    ])  # fmt: skip
    with opened(plan) as session:
        records = search(session)
    trials = [
        {"params": dict(trial.params), "evals": [_entry(point, plan.config.study.metric) for point in trial.outcome.evals]}
        for trial in records if isinstance(trial.outcome, Completed)
    ]  # fmt: skip
    write(name, trials, rows=len(plan.splits.train), validation_rows=len(plan.splits.validation))


def write(name: str, trials: Sequence[dict[str, object]], *, rows: int, validation_rows: int) -> None:
    """Write a table: of each trial its values and its evaluations."""
    recipe = RECIPES[name]
    metric = next(text.split("=")[1] for text in recipe.overrides if text.startswith("study.metric="))
    head = {
        "name": name, "about": f"{recipe.about}: random points of sweeps/{recipe.space}.yaml, each trained to its end",
        "date": now(), "machine": machine(), "versions": package_versions(), "rows": rows,
        "validation_rows": validation_rows, "evals": ["epoch", "step", metric, "eval/loss"],
    }  # fmt: skip
    lines = ",\n".join(f"  {json.dumps(trial)}" for trial in trials)
    path_of(name).write_text(f'{json.dumps(head, indent=1)[:-2]},\n "trials": [\n{lines}\n ]\n}}\n')


def _entry(point: EvalPoint, metric: str) -> list[float]:
    return [
        round(point.epoch, 4), point.step, round(point.metrics[metric], 6), round(point.metrics["eval/loss"], 5),
    ]  # fmt: skip


def _curve(params: dict[str, float], evals: Sequence[Sequence[float]]) -> Curve:
    at = tuple(nearest(Fraction(epoch) / UNIT) for epoch, *_ in evals)
    return Curve(
        params, tuple(score for _, _, score, _ in evals), at=at, losses=tuple(loss for *_, loss in evals),
        steps=tuple(int(step) for _, step, *_ in evals),
    )  # fmt: skip
