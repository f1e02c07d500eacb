"""The studies that are killed: small, with points that do not depend on what was trained before."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SPACE = "optimizer.learning_rate: {low: 1.0e-3, high: 1.0e-1, log: true}\n"


@dataclass(frozen=True, slots=True)
class Study:
    """A study of random points in one slot.

    `adapter` is head or lora. With `finals` there are fresh seeds and a refit after the search.
    With `paused` racing pauses trials. `more` are further arguments.
    """

    adapter: str = "head"
    finals: bool = False
    trials: int = 3
    epochs: int = 6
    more: tuple[str, ...] = ("tracker=mock",)
    paused: bool = False

    def __str__(self) -> str:
        return f"{self.adapter}{' with finals' if self.finals else ''}{' with pauses' if self.paused else ''}"

    def arguments(self, model: Path, folder: Path) -> list[str]:
        """Return the command line. The run directory is `folder / "run"`."""
        space = folder / "space.yaml"
        space.write_text(SPACE)
        finals = ("study.confirm_seeds=2", "study.confirm_top=2", "study.refit=true") if self.finals else ()
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
            "trainer.logging_steps=5", "study.snapshot_every=0", *finals, *self.more,
        ]  # fmt: skip

    @property
    def trainings(self) -> int:
        """Return how many trainings have a record at the end."""
        return self.trials + (2 * 2 + 2 if self.finals else 1)


# What the long tests kill, one after the other.
STUDIES = (
    Study("lora", finals=True), Study(finals=True, more=("tracker=none",)), Study(trials=6, epochs=3, paused=True),
)  # fmt: skip
