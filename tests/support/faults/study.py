"""The studies that are killed: small, with points that do not depend on what was trained before."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SPACE = "optimizer.learning_rate: {low: 1.0e-3, high: 1.0e-1, log: true}\n"


@dataclass(frozen=True, slots=True)
class Study:
    """A study of random points in one slot.

    `adapter` is head or lora. With `finals` there are fresh seeds and a refit after the search.
    With `paused` racing pauses trials. `folds` is the number of folds of a trial. `ended` is the
    number of trials after which a rule of `study.stop` ends the search. `more` are further
    arguments.
    """

    adapter: str = "head"
    finals: bool = False
    trials: int = 3
    epochs: int = 6
    more: tuple[str, ...] = ("tracker=mock",)
    paused: bool = False
    folds: int = 1
    ended: int | None = None

    def __str__(self) -> str:
        parts = {
            "finals": self.finals, "pauses": self.paused, "folds": self.folds > 1, "a stop rule": self.ended is not None,
            "a temperature": TEMPERATURE in self.more, "a warm start": any("warm_start" in one for one in self.more),
        }  # fmt: skip
        found = [name for name, there in parts.items() if there]
        return f"{self.adapter} with {', '.join(found)}" if found else self.adapter

    def arguments(self, model: Path, folder: Path) -> list[str]:
        """Return the command line. The run directory is `folder / "run"`."""
        space = folder / "space.yaml"
        space.write_text(SPACE)
        finals = ("study.confirm_seeds=2", "study.confirm_top=2", "study.refit=true") if self.finals else ()
        folds = (f"dataset.folds={self.folds}", "dataset.stratify=auto") if self.folds > 1 else ()
        pruner = (
            ("study.pruner=racing", "study.pruner_options={finalists: 1, budget: 0.35}")
            if self.paused
            else ("study.pruner=none",)
        )
        return [
            "+experiment=quickstart", f"model.path={model}", f"run_dir={folder / 'run'}", f"study.n_trials={self.trials}",
            f"adapter={self.adapter}", f"study.space={space}", "study.sampler=random", *pruner, "engine.slots=1",
            "dataset.max_train_samples=64", "dataset.max_eval_samples=28", "dataset.max_test_samples=28",
            f"trainer.num_train_epochs={self.epochs}", "trainer.eval_strategy=steps", "trainer.eval_steps=12",
            "trainer.logging_steps=5", "study.snapshot_every=0", *folds, *finals, *self.more,
        ]  # fmt: skip

    @property
    def trainings(self) -> int:
        """Return how many trainings have a record at the end. With folds the winner is trained on
        all rows after its retraining."""
        fresh_seeds = 2 * 2 if self.finals else 0
        return (self.ended or self.trials) + fresh_seeds + (2 if self.finals or self.folds > 1 else 1)


TEMPERATURE = "trainer.calibration=temperature"

# What the long tests kill, one after the other. Folds of a pack train side by side, those of heads
# in turns.
STUDIES = (
    Study("lora", finals=True),
    Study(finals=True, more=("tracker=none", TEMPERATURE)),
    Study(trials=6, epochs=3, paused=True),
    Study("lora", epochs=4, folds=3),
    Study(trials=9, epochs=3, ended=5, more=("tracker=none", "study.stop.patience=3")),
    Study(trials=4, epochs=3, folds=3, paused=True, more=("tracker=none", TEMPERATURE)),
)
