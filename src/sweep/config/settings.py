"""The values that an engine needs of a config to train and evaluate one trial."""

from __future__ import annotations

from dataclasses import dataclass

from sweep.config.adapter import AdapterConfig
from sweep.config.metrics import recorded_metrics
from sweep.config.objective import Objective
from sweep.config.schema import Config, ModelConfig, OptimizerConfig, PromptConfig, Task, TrainerConfig


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """The sections of a config that decide a trial's model and training.

    They leave out the study, the tracker and the files of the data set. `max_length` is in tokens;
    None takes the limit of the model. `prompt` is None where a head classifies. `paired` says that
    a row has two texts.
    """

    model: ModelConfig
    adapter: AdapterConfig
    prompt: PromptConfig | None
    task: Task
    paired: bool
    max_length: int | None
    optimizer: OptimizerConfig
    trainer: TrainerConfig
    objective: Objective
    metrics: tuple[str, ...] = ()  # beside those of the task: `sweep.config.metrics.recorded_metrics`
    snapshot_every: float | None = None  # seconds; None takes no snapshots
    fold: bool = False  # a fold of a trial is trained, and reports the scores of its rows

    @classmethod
    def of(cls, config: Config, *, fold: bool = False) -> TrainSettings:
        """Return the settings of the trial that `config` describes, or of a `fold` of it."""
        return cls(
            model=config.model,
            adapter=config.adapter,
            prompt=config.prompt,
            task=config.dataset.task,
            paired=config.dataset.text_pair_column is not None,
            max_length=config.dataset.max_length,
            optimizer=config.optimizer,
            trainer=config.trainer,
            objective=config.study.objective,
            metrics=recorded_metrics(config),
            snapshot_every=_snapshot_every(config),
            fold=fold,
        )


def _snapshot_every(config: Config) -> float | None:
    """Return the seconds between two snapshots. With `auto` a training of all weights has none,
    since its snapshots would be several times as large as the model."""
    study = config.study
    large = config.adapter.trains == "everything"
    none = study.snapshots == "never" or (study.snapshots == "auto" and large)
    return None if none else study.snapshot_every
