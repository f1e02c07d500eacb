"""Time per trial outside training and evaluation: the project's engines, and
`Trainer.hyperparameter_search`.

    python -m benchmarks.overhead [--engines trainer packed] [--rounds 3] [--trials 8]

All train the same trials, which differ in their seeds: LoRA (rank 8, query and value) on MiniLM
over the help-desk task, one epoch, one evaluation, W&B offline. The baseline loads the base and
wraps it in `model_init`, and keeps no checkpoints. Rounds of the sides alternate; the first trial
of a process counts for none.

One trial after the other: from the end of a trial to the end of the next one, less what the
engine's record of that one (the baseline: a callback) gives for training and evaluation. Packed
trials overlap, so that a second of the search belongs to several of them, and what a trial's own
record leaves over is mostly waiting for the others. Here it is the seconds of the search that
brought no step and no evaluation about, over the trials, as seen at the seam between study and
engine: what the study did when it was called (Optuna, records, W&B), what came before a trial was
pulled or given back, and whatever the first step after a pull took above the median round, since
trials are built before it. Writing the best adapter lies before an evaluation is reported, and
counts to it. The whole search, less every second that the records give for training and
evaluation, is printed for comparison: the first trial of the process and the base are in it, and
so is whatever an engine does not charge to a trial.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median

from benchmarks.sides import Event, Point, Side, baseline, project
from benchmarks.table import Row, publish

PROMISED = {"trainer": 0.5, "packed": 0.3}
SLOTS = 4
EXPERIMENT = (
    "+experiment=quickstart", "trainer.num_train_epochs=1", "dataset.max_train_samples=128", "dataset.max_eval_samples=64",
)  # fmt: skip


def main() -> None:
    given = _arguments()
    points: list[Point] = [{"trainer.seed": number} for number in range(given.trials)]
    ours: dict[str, list[Side]] = {engine: [] for engine in given.engines}
    theirs: list[Side] = []
    for _ in range(given.rounds):
        for engine, sides in ours.items():
            sides.append(project(points, EXPERIMENT, engine=engine, slots=SLOTS, limit=given.limit))
        theirs.append(baseline(points, EXPERIMENT, limit=given.limit))
    rows = [Row(f"sweep, engine={name}", _overheads(name, sides), PROMISED[name]) for name, sides in ours.items()]
    rows.append(Row("Trainer.hyperparameter_search", [
        trial.seconds - trial.inside for side in theirs for trial in side.trials[1:]
    ]))  # fmt: skip
    notes: dict[str, float | str] = {"trials of each, first one included": str(given.trials * given.rounds)}
    for row, (name, sides) in zip(rows, ours.items(), strict=False):
        notes[f"baseline / engine={name}"] = rows[-1].median / row.median
        notes[f"engine={name}, (search - training - evaluation, by the records) / trials"] = fmean(
            (side.seconds - sum(trial.inside for trial in side.trials)) / len(side.trials) for side in sides
        )
        parts = [outside(side.timeline) for side in sides]
        notes[f"engine={name}, at the seam: in the study"] = fmean(part.study for part in parts)
        notes[f"engine={name}, at the seam: before a pull or an end"] = fmean(part.between for part in parts)
        notes[f"engine={name}, at the seam: first step after a pull, above the usual"] = fmean(
            part.first_step for part in parts
        )
    publish("overhead", rows, notes)


def between_ends(side: Side) -> list[float]:
    """Return the seconds from the end of each trial to the end of the next one, less training and
    evaluation. The trials train one after the other."""
    ends = [event.time + event.took for event in side.timeline if event.kind == "end"]
    return [
        later - earlier - trial.inside for (earlier, later), trial in zip(pairwise(ends), side.trials[1:], strict=True)
    ]


@dataclass(frozen=True, slots=True)
class Outside:
    """Seconds a trial outside of training and evaluation: in the study when it was called
    (`study`), before a trial was pulled or given back (`between`), and in the first step after a
    pull beyond the median round (`first_step`)."""

    study: float
    between: float
    first_step: float

    @property
    def total(self) -> float:
        return self.study + self.between + self.first_step


def outside(timeline: Sequence[Event]) -> Outside:
    """Return the seconds in which the search brought about no step and no evaluation, from the
    second pull on.

    Raises ValueError where no trial makes two steps in a row: the length of a round is not known
    then.
    """
    usual = median(_rounds(timeline))
    study, between, first_step, pulled = 0.0, 0.0, 0.0, 0
    for earlier, later in pairwise((timeline[0], *timeline)):
        if pulled >= 2:
            gap = max(later.time - earlier.time - earlier.took, 0.0)
            if later.kind in ("next", "end"):
                between += gap
            elif later.kind == "step" and earlier.kind == "next":
                first_step += max(gap - usual, 0.0)
        pulled += later.kind == "next" and later.trial >= 0
        study += later.took if pulled >= 2 else 0.0
    trials = pulled - 1
    return Outside(study / trials, between / trials, first_step / trials)


def _rounds(timeline: Sequence[Event]) -> Iterator[float]:
    """Yield the seconds from a trial's step to its next one, less those of the study, where only
    steps came between."""
    last: dict[int, float] = {}
    spent = 0.0
    for event in timeline:
        if event.kind != "step":
            last.clear()
        else:
            if event.trial in last:
                yield event.time - spent - last[event.trial]
            last[event.trial] = event.time - spent
        spent += event.took


def _overheads(engine: str, sides: Sequence[Side]) -> list[float]:
    if engine == "packed":
        return [outside(side.timeline).total for side in sides]
    return [seconds for side in sides for seconds in between_ends(side)]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", nargs="+", choices=tuple(PROMISED), default=list(PROMISED))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=8, help="of each side in a round")
    parser.add_argument("--limit", type=float, default=900, help="seconds that a single process may take")
    return parser.parse_args()


if __name__ == "__main__":
    main()
