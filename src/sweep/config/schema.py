"""The schema of the config: every key with its type, its constraints and its default.

The default of a key stands here alone: YAML files in `conf/` hold what differs
(`sweep.config.defaults`). Keys have the names of the libraries that they are passed to:
`transformers.TrainingArguments`, PEFT, Optuna and W&B. Constraints on one value are part of its
type; rules across values are in `sweep.plan.checks`. Upper bounds are far above practical values:
they refuse typing errors that no machine could count or hold.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, SerializeAsAny

from sweep.config import adapter as adapters
from sweep.config.adapter import AdapterConfig
from sweep.config.batch import Batch, BatchConfig
from sweep.config.budget import BudgetConfig
from sweep.config.dataset import DatasetConfig as DatasetConfig
from sweep.config.dataset import DottedPath, Seed, Share
from sweep.config.dataset import Task as Task
from sweep.config.launcher import LauncherConfig
from sweep.config.limits import Limits
from sweep.config.loss import LossConfig
from sweep.config.names import OptimizerName, ScheduleName
from sweep.config.published import PublishedConfig
from sweep.config.section import Bytes, Count, Names, NonNegative, Place, Probability, Seconds
from sweep.config.section import Scalar as Scalar
from sweep.config.section import Section as Section  # for the plug-ins of trackers
from sweep.config.stop import StopConfig
from sweep.config.study_objectives import StudyObjectives

PoolingKind = Literal["mean", "cls", "pooler", "last"]
AutocastType = Literal["bfloat16", "float16"]
SamplerName = Literal["tpe", "gp", "cmaes", "qmc", "random", "grid"]
PrunerName = Literal["none", "median", "racing", "successive_halving", "hyperband", "percentile", "patient"]


class ShrinkConfig(Section):
    """Sizes of a smaller model of the same architecture.

    Null keeps the size in the model's config.
    """

    layers: Count | None = None
    width: Count | None = Field(None, description="hidden size; the feed-forward size shrinks in proportion")
    heads: Count | None = Field(None, description="attention heads; those of keys and values shrink in proportion")
    vocabulary: Count | None = None


class ModelConfig(Section):
    path: str = Field("", description="hub id, local directory, or pkg://PACKAGE/FOLDER of an installed package")
    revision: str | None = None
    gguf_file: str | None = Field(
        None, description="a GGUF file in `path`, converted once and kept; init random reads none"
    )
    init: Literal["pretrained", "random"] = Field("pretrained", description="random: the architecture, no weights")
    config: str | None = Field(
        None, description="with init random: a config.json, or one shipped in conf/model/; null takes that of `path`"
    )
    shrink: ShrinkConfig = ShrinkConfig()
    tokenizer: str | None = Field(
        None, description="as `path`; null takes the model's own, or, with init random and no path at hand, bytes"
    )
    pooling: PoolingKind | None = Field(
        None, description="the vector of a text that its head is given; null is what the architecture's own class does"
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    trust_remote_code: bool = False
    attn_implementation: str | None = None


class PromptConfig(Section):
    """Classification by label words: a causal language model scores the words of each label after
    a prompt."""

    template: str = Field(description="with {text}, and {text_pair} for pairs; the label words follow it directly")
    label_words: dict[str, str] | None = Field(
        None,
        description="by label name, with a leading space where the tokenizer wants one; null: a space and the name",
    )
    scoring: Literal["sum", "mean"] = Field("sum", description="log-probability of all tokens of a label, or per token")


class OptimizerConfig(Section):
    name: OptimizerName = "adamw_torch"
    on_missing: Literal["fallback", "refuse"] = Field("fallback", description="where the device lacks the optimizer")
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: NonNegative = 0.0
    warmup_steps: Annotated[float, Field(ge=0, le=10**9)] = Field(
        0, description="optimizer steps; below 1 a share of the trial's steps"
    )
    lr_scheduler_type: ScheduleName = "linear"
    adam_beta1: Probability = 0.9
    adam_beta2: Probability = 0.999
    adam_epsilon: Annotated[float, Field(gt=0, le=1)] = 1e-8
    optim_args: dict[str, Scalar] | str | None = Field(
        None, description="arguments of the optimizer, as a mapping or as NAME=VALUE,NAME=VALUE"
    )
    optim_target_modules: Names | str | None = Field(
        None,
        description="GaLore and APOLLO: endings of the linear layers they project, a regular expression, or all-linear",
    )
    lr_scheduler_kwargs: dict[str, Any] | str | None = Field(
        None, description="arguments of the schedule, as a mapping or as JSON"
    )


class TrainerConfig(BatchConfig, LossConfig):
    per_device_eval_batch_size: Batch = 32
    num_train_epochs: Annotated[float, Field(gt=0, le=10_000)] = 3
    max_grad_norm: Annotated[float, Field(ge=0, le=10**9)] = Field(1.0, description="0 does not clip")
    eval_strategy: Literal["epoch", "early", "steps", "no"] = Field(
        "early", description="early: as epoch, and after an 8th, a 4th and half of the first; no: once, at the end"
    )
    eval_steps: Count | None = Field(None, description="steps between evaluations, with eval_strategy steps")
    logging_steps: Count = 10
    bf16: bool | Literal["auto"] = Field(
        "auto",
        description="auto: on where the device is a GPU that has it and fp16 is off; records hold true or false",
    )
    fp16: bool = False
    gradient_checkpointing: bool = False
    train_sampling_strategy: Literal["random", "group_by_length"] = "group_by_length"
    early_stopping_patience: Annotated[int, Field(ge=1, le=10**6)] | None = Field(
        None, description="evaluations without a better study.metric; those within the first epoch do not count"
    )
    early_stopping_threshold: Annotated[float, Field(ge=0, le=1000)] = 0.0
    label_smoothing_factor: Probability = 0.0
    save_best: bool = Field(True, description="keep the adapter of the study's best trial on disk")
    save_newest: bool = Field(False, description="also keep the adapter of its newest evaluation")
    decision_threshold: Share | Literal["tuned"] = Field(
        0.5, description="multi-label: probability from which a label applies; tuned: one a label, on validation"
    )
    device: Literal["auto", "cpu", "cuda"] = "auto"
    seed: Seed = 0

    @property
    def in_bf16(self) -> bool:
        """Return whether trials train under bf16 autocast; `auto` counts as off until `settled`
        replaces it."""
        return self.bf16 is True

    @property
    def autocast_type(self) -> AutocastType | None:
        """Return the type of autocast that trials train and are evaluated under, if any."""
        return "float16" if self.fp16 else "bfloat16" if self.in_bf16 else None

    def settled(self, *, bf16: bool) -> TrainerConfig:
        """Return the config with `bf16` in place of `auto`, or with bf16 off where fp16 is on."""
        return self.model_copy(update={"bf16": bf16 and not self.fp16}) if self.bf16 == "auto" else self

    @property
    def search_threshold(self) -> float:
        """Return the threshold of evaluations during the search.

        Tuned thresholds are tuned once, for the retrained winner: tuned for each evaluation, they
        would be fitted to the rows that score it.
        """
        return 0.5 if self.decision_threshold == "tuned" else self.decision_threshold


class EngineConfig(Section):
    """The engine that trains the trials, and how many it trains at once.

    Without dropout all engines give the same numbers up to rounding; with dropout their random
    masks differ.
    """

    name: Literal["auto", "packed", "trainer"] = Field(
        "auto", description="auto packs the trials that can be packed, and leaves the others to the Trainer"
    )
    slots: Annotated[int, Field(ge=1, le=1024)] | Literal["auto"] = Field(
        "auto",
        description="trials at once on one base; auto: as many as memory holds. A sampler that learns may leave some empty",
    )
    memory_limit: Bytes | None = Field(None, description="bytes that a trial may need; null is what its device has")


class StudyConfig(StudyObjectives):
    study_name: str = "study"
    n_trials: Annotated[int, Field(ge=1, le=100_000)] = Field(10, description="in total, over all runs of the study")
    timeout: Seconds | None = Field(None, description="seconds after which no trial starts")
    budget: BudgetConfig = BudgetConfig()
    stop: StopConfig = StopConfig()
    max_failures_in_a_row: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        5, description="failures with one cause after which the study stops; null is no limit"
    )
    trial_timeout: Seconds | None = Field(
        None, description="seconds of training after which a trial is stopped and counts as failed"
    )
    limits: Limits = Field({}, description="upper limits of every trial by name, such as {predict.latency_ms: 5}")
    space: str | None = Field(
        None, description="name of a file in sweeps/, or a path ending in .yaml; null searches nothing"
    )
    sampler: SamplerName | DottedPath = Field(
        "tpe", description="or the dotted path of a class or function of your own that gives an Optuna sampler"
    )
    sampler_options: dict[str, Any] = Field(
        default_factory=dict, description="arguments of the sampler, such as {n_startup_trials: 5}"
    )
    pruner: PrunerName | DottedPath = Field(
        "none", description="or the dotted path of a class or function of your own that gives an Optuna pruner"
    )
    pruner_options: dict[str, Any] = Field(
        default_factory=dict, description="arguments of the pruner, such as {reduction_factor: 4}"
    )
    storage: str | None = Field(None, description="an SQLAlchemy address; null is SQLite in run_dir")
    seed: Seed = 0
    enqueue: tuple[dict[str, Scalar], ...] = Field(
        (), description="known configurations to try first, such as [{optimizer.learning_rate: 1.0e-4}]"
    )
    warm_start: tuple[Place, ...] = Field(
        (), description="run directories of studies whose trials this one learns from"
    )
    confirm_seeds: Annotated[int, Field(ge=1, le=1000)] = Field(
        1,
        description="1 retrains the best trial as it was; above 1: the best few train again with that many fresh seeds each, "
        "and the best mean wins",
    )
    confirm_top: Annotated[int, Field(ge=1, le=1000)] = Field(
        3, description="how many of the best configurations train again with fresh seeds"
    )
    compare_by: str | None = Field(
        None,
        description="a searched key with choices, such as adapter: each choice gets equally many trials, and the best trial of "
        "each is retrained, tested and compared",
    )
    refit: bool = Field(
        False,
        description="train the winner once more, on train and validation rows together; that model is tested and kept",
    )
    dry_run: bool = False
    snapshots: Literal["auto", "always", "never"] = Field(
        "auto",
        description="whether a trial that was stopped goes on from where it was; auto: all trials but those of adapter=full, "
        "whose snapshots are several times as large as the model",
    )
    snapshot_every: Annotated[float, Field(ge=0)] = Field(
        60.0,
        description="seconds between two snapshots of a trial, beside those at evaluations; 0: after each step or batch",
    )

    @property
    def at_once(self) -> int | None:
        """Return the most trials that should run at once: a sampler that learns does so from ended
        trials alone.

        None where the sampler does not learn. A sampler of the user's own counts as one that
        learns.
        """
        return None if self.sampler in ("qmc", "random", "grid") else max(2, self.n_trials // 4)


class TrackerConfig(Section):
    """The keys that every tracker has (`name`, `target`, `also`, `mode`, `max_wait`), and those of
    W&B and its mock.

    A tracker that is named by `target` has the keys of its class's `Settings` in place of W&B's
    (`sweep.track.plugin`).
    """

    model_config = ConfigDict(extra="allow")

    name: Annotated[str, Field(pattern=r"^[\w-]+$")] = "wandb"
    target: str | None = Field(None, description="dotted path of a tracker's class; null is one that ships without")
    also: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="the second tracker and later ones, by name; composed by tracker=[NAME,NAME]"
    )
    mode: Literal["auto", "online", "offline", "disabled"] = Field(
        "auto", description="auto: online with credentials, else offline"
    )
    project: str | None = Field(None, description="null takes WANDB_PROJECT, else sweep")
    entity: str | None = Field(None, description="team or user; null takes WANDB_ENTITY, else the account's default")
    tags: tuple[str, ...] = ()
    system_metrics: bool = Field(True, description="of the study's own machine, in the run of the study alone")
    alerts: tuple[Literal["end", "failures", "best"], ...] = Field(
        (), description="messages of W&B: at the study's end, of trials that fail, of a new best trial"
    )
    sweep: bool = Field(True, description="the trials on a W&B Sweeps page, where the server takes it")
    review: bool = Field(
        False, description="a workspace and a report on W&B at the study's end, as `sweep review` writes them"
    )
    registry: Annotated[str, Field(pattern=r"^[\w.-]+(/[\w.-]+)?$")] | None = Field(
        None, description="REGISTRY or REGISTRY/COLLECTION of W&B to which the winner's model is linked"
    )
    finish_timeout: Seconds = Field(
        60, description="seconds for the client to send the rest of a run at its end, while the study goes on"
    )
    max_wait: Annotated[float, Field(ge=0, le=10**8)] = Field(
        60, description="seconds that a study may lose to a slow or failing server, in all; then runs are kept offline"
    )


class Config(Section):
    """The whole config of an experiment."""

    title: str = ""
    run_dir: Annotated[Place, Field(min_length=1)] = "runs/study"
    model: ModelConfig = ModelConfig()
    adapter: Annotated[SerializeAsAny[AdapterConfig], BeforeValidator(adapters.parsed)] = Field(
        default_factory=adapters.default
    )
    prompt: PromptConfig | None = None
    dataset: DatasetConfig = DatasetConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    trainer: TrainerConfig = TrainerConfig()
    engine: EngineConfig = EngineConfig()
    launcher: LauncherConfig = LauncherConfig()
    study: StudyConfig = StudyConfig()
    tracker: TrackerConfig = TrackerConfig()
    published: PublishedConfig | None = None

    @property
    def refits(self) -> bool:
        """Return whether the winner is trained once more, on all rows that the search had. With
        folds there is no other model that saw them all."""
        return self.study.refit or self.dataset.folds is not None
