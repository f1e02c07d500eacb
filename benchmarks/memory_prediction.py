"""Predicted memory of a training against its measured peak.

    python -m benchmarks.memory_prediction [--only TEXT …] [--left] [--mapped]

`--only` takes the points of these names, or those whose names contain a text; `--left` those that
are not recorded yet. Each is written as soon as it is measured, beside those that are recorded.
`--only` alone measures nothing, and prints what is recorded.

Rows of equal length, two optimizer steps and an evaluation, each training in a process of its
own. As at the beginning of a study the prediction comes from small trainings, and the training of
the whole batch follows. Measured is the most that the process holds on the CPU, and the most that
is allocated on a GPU. The error is prediction less measurement, in per cent of the measurement.
No number is fitted to these points. A trial is refused only where `least`, the lower bound, is
beyond what there is.

With `--mapped` the C library maps each block of 64 KiB or more by itself and gives it back at
once, so that the process holds what is in use, without gaps: what then is beyond the tensors is
memory that is not seen.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.process import run
from benchmarks.table import RESULTS, write
from sweep.provenance import now

MIB = 2**20
ROWS, HELD_OUT, WORDS = 256, 32, 400  # of the table; texts are cut to the length of a point
COMMON = (
    "+experiment=quickstart", "tracker=none", "study.space=null", "study.n_trials=1", "study.pruner=none", "engine.slots=1",
    "trainer.num_train_epochs=1", "trainer.eval_strategy=no",
)  # fmt: skip


_RANKED = ("lora", "qlora")
_MODELS: dict[str, list[str]] = {"minilm": [], "gpt2": ["model=gpt2", "model.init=random"]}
# glibc: no block shares pages with another one.
_MAPPED = {"MALLOC_MMAP_THRESHOLD_": str(2**16), "MALLOC_MMAP_MAX_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**16)}


@dataclass(frozen=True, slots=True)
class Point:
    """One training."""

    engine: str = "trainer"
    rows: int = 64
    length: int = 128
    adapter: str = "lora"
    rank: int = 8
    checkpointing: bool = False
    optimizer: str = "adamw_torch"
    model: str = "minilm"

    @property
    def name(self) -> str:
        kind = f"{self.adapter} {self.rank}" if self.adapter in _RANKED else self.adapter
        more = ", checkpointing" if self.checkpointing else ""
        return f"{self.engine}, {self.model}, {kind}, {self.optimizer}, {self.rows} x {self.length}{more}"

    @property
    def overrides(self) -> list[str]:
        rank = [f"adapter.r={self.rank}", "adapter.lora_dropout=0"] if self.adapter in _RANKED else []
        return [
            f"engine={self.engine}", f"trainer.per_device_train_batch_size={self.rows}",
            f"dataset.max_train_samples={2 * self.rows}", f"dataset.max_length={self.length}",
            f"trainer.gradient_checkpointing={str(self.checkpointing).lower()}", f"optimizer.name={self.optimizer}",
            f"adapter={self.adapter}", *_MODELS[self.model], *rank,
        ]  # fmt: skip


POINTS = (
    Point(rows=16), Point(), Point(rows=128), Point(length=32), Point(length=256), Point(rank=128), Point("packed", rows=16),
    Point("packed"), Point(checkpointing=True), Point(optimizer="sgd"), Point(adapter="full"),
    Point(adapter="full", optimizer="adafactor"), Point(adapter="full", optimizer="adamw_8bit"), Point(adapter="head"),
    Point(adapter="qlora", rows=16), Point(model="gpt2", rows=16), Point("packed", rows=128), Point("packed", length=32),
    Point("packed", length=256), Point("packed", rank=128), Point("packed", checkpointing=True),
    Point("packed", optimizer="adafactor"), Point("packed", adapter="qlora", rows=16), Point("packed", model="gpt2", rows=16),
)  # fmt: skip


def table(folder: Path) -> list[str]:
    """Write rows of equal length. Return the override that reads them."""
    words = ("printer network password ticket laptop reset access mail screen update " * (WORDS // 10)).strip()
    for name, count in (("train", ROWS), ("validation", HELD_OUT), ("test", HELD_OUT)):
        lines = [f"{words[number % 60 :]},{('one', 'two')[number % 2]}" for number in range(count)]
        (folder / f"{name}.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    return [f"dataset.path={folder}"]


def one(number: int, folder: Path) -> dict[str, float]:
    """Predict and measure a point in this process. Return bytes by name, and the footprint that the
    prediction is made of."""
    from sweep.launch.inline import Inline
    from sweep.plan.plan import make_plan
    from sweep.records.trial import Completed, Outcome, Verdict
    from sweep.study.measured_memory import measure
    from sweep.study.memory_prediction import Forecasts
    from sweep.study.prepare import prepare

    data = folder / "data"
    data.mkdir()
    plan = prepare(make_plan([*COMMON, *table(data), f"run_dir={folder / 'run'}", *POINTS[number].overrides]))
    workspace = Inline.of(plan).workspace
    (account,) = plan.needs.accounts.values()
    found = Forecasts(plan, measure(workspace, [(plan.config, account)]), dict(plan.needs.accounts))
    forecast = found.forecast(plan.config)
    assert forecast is not None, "the small trainings completed"
    trials, ended = iter([plan.trial(0, {})]), list[Outcome]()
    workspace.engine(lambda _: None).run(
        lambda: next(trials, None), lambda *_: Verdict.CONTINUE, lambda *_: Verdict.CONTINUE,
        lambda _, outcome: ended.append(outcome),
    )  # fmt: skip
    (outcome,) = ended
    assert isinstance(outcome, Completed), outcome
    return {
        "predicted": forecast.bytes,
        "least": forecast.least,
        "resident": forecast.resident,
        "tensors": forecast.tensors,
        "fixed": forecast.fixed,
        "batch": forecast.batch,
        "evaluation": forecast.evaluation,
        "gaps": forecast.gaps,
        "process": forecast.process,
        "measured": outcome.cost.peak_device_bytes or outcome.cost.peak_host_bytes,
    }


def main() -> None:
    given = _arguments()
    if given.point is not None:
        given.out.write_text(json.dumps(one(given.point, given.out.parent)))
        return
    file = RESULTS / f"{'memory_mapped' if given.mapped else 'memory_prediction'}.json"
    recorded: dict[str, Any] = json.loads(file.read_text())["points"] if file.exists() else {}
    for number, point in enumerate(POINTS):
        if not any(_is_meant(point, text) for text in given.only) or (given.left and point.name in recorded):
            continue
        with tempfile.TemporaryDirectory(prefix="sweep-bench-") as folder:
            out = Path(folder) / "result.json"
            environment = _MAPPED if given.mapped else {}
            run(
                "benchmarks.memory_prediction",
                ["--point", str(number), "--out", str(out)],
                Path(folder),
                environment=environment,
            )
            recorded[point.name] = {"date": now(), **json.loads(out.read_text())}
        ordered = {one.name: recorded[one.name] for one in POINTS if one.name in recorded}
        write(file, {"points": ordered, "errors": _errors(ordered)}, indent=2)
    for point in (one for one in POINTS if one.name in recorded):
        print(_line(point.name, recorded[point.name]))
    if recorded:
        print(_errors(recorded))


def _is_meant(point: Point, text: str) -> bool:
    return point.name == text if any(one.name == text for one in POINTS) else text in point.name


def _error(found: Mapping[str, float]) -> float:
    return 100 * (found["predicted"] / found["measured"] - 1)


def _line(name: str, found: Mapping[str, float]) -> str:
    """Return the row of a point in the table of RESULTS.md."""
    columns = (f"{found[column] / MIB:,.0f} MiB" for column in ("tensors", "predicted", "measured"))
    least = f"{found['least'] / MIB:,.0f} MiB{' (ABOVE)' if found['least'] > found['measured'] else ''}"
    return f"| {name} | {' | '.join(columns)} | {_error(found):+.0f} % | {least} |"


def _errors(recorded: Mapping[str, Mapping[str, float]]) -> str:
    errors = [_error(found) for found in recorded.values()]
    sizes = f"{median(map(abs, errors)):.1f} %, {min(errors):+.1f} %, {max(errors):+.1f} %"
    return f"{len(errors)} of {len(POINTS)} points; median of the errors' sizes, lowest, highest: {sizes}"


def _arguments(typed: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[""], metavar="TEXT", help="names, or parts of them, to measure")
    parser.add_argument("--left", action="store_true", help="measure only points that are not recorded")
    parser.add_argument("--mapped", action="store_true", help="let the C library leave no gaps between blocks")
    parser.add_argument("--point", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(typed)


if __name__ == "__main__":
    main()
