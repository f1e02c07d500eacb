from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from support import toys
from support.program import run
from support.tiny import tiny_bert
from support.trials import Watcher, make_plan
from sweep.config.names import OptimizerName
from sweep.config.optimizers import BY_METRIC, OPTIMIZERS
from sweep.config.schema import Config
from sweep.config.settings import TrainSettings
from sweep.data.tokenise import TokenisedData
from sweep.engine import cached_head
from sweep.engine.arguments import device_faults, training_arguments
from sweep.engine.optimizers import missing, optimizer_faults, typed_class
from sweep.engine.packed.loop_choice import choose_loop
from sweep.errors import UserError
from sweep.model.base_model_cache import BaseModelCache
from sweep.records.store import Store
from sweep.records.trial import Completed
from sweep.study.prepare import prepare

CPU = torch.device("cpu")


def config(**optimizer: Any) -> TrainSettings:
    return TrainSettings.of(Config.model_validate({"optimizer": optimizer}))


def faults(folder: Path, steps: int = 40, **optimizer: Any) -> dict[str, str]:
    asked = config(**optimizer)
    return dict(optimizer_faults(asked.optimizer, training_arguments(asked, CPU, folder), CPU, steps))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("adamw_torch_xla", "which needs a TPU"),
        ("adamw_torch_npu_fused", "which needs an Ascend NPU"),
        ("adamw_anyprecision", "pip install git+https://github.com/pytorch/torchdistx"),
    ],
)
def test_optimizers_for_hardware_that_is_absent(name: OptimizerName, says: str) -> None:
    (fault,) = device_faults(config(name=name), CPU)
    assert fault.path == "optimizer.name" and says in fault.message
    assert fault.message.endswith("or type optimizer.name=adamw_torch")


def test_a_package_that_is_missing_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweep.engine.optimizers.find_spec", lambda _: None)
    for name, traits in OPTIMIZERS.items():
        if traits.package is not None:
            assert missing(name, torch.device("cuda")).endswith(f"pip install {traits.package.install}")
    monkeypatch.setattr("sweep.engine.optimizers.find_spec", lambda _: True)
    assert missing("galore_adamw_8bit", CPU).endswith("needs an NVIDIA GPU, but the device is cpu")
    assert not missing("galore_adamw_8bit", torch.device("cuda"))


@pytest.mark.parametrize(
    ("optimizer", "key", "says"),
    [
        ({"name": "sgd", "optim_args": {"nesterov": True}}, "optim_args", "Nesterov momentum requires a momentum"),
        ({"name": "adafactor", "learning_rate": 1.0, "lr_scheduler_type": "cosine_with_min_lr"}, "lr_scheduler_type", "min_lr"),
        ({"lr_scheduler_type": "cosine_with_min_lr"}, "lr_scheduler_type", "One of min_lr or min_lr_rate"),
        ({"lr_scheduler_type": "polynomial", "lr_scheduler_kwargs": {"lr_end": 1.0}}, "lr_scheduler_kwargs", "is refused"),
        ({"lr_scheduler_type": "reduce_lr_on_plateau", "lr_scheduler_kwargs": {"factor": 2.0}},
         "lr_scheduler_kwargs", "Factor should be < 1.0"),
        ({"lr_scheduler_type": "greedy", "lr_scheduler_kwargs": {"min_lr": 2.0}}, "lr_scheduler_kwargs", "above its max_lr"),
    ],
)  # fmt: skip
def test_a_value_that_the_class_refuses_is_a_fault_of_its_key(
    tmp_path: Path, optimizer: dict[str, Any], key: str, says: str
) -> None:
    found = faults(tmp_path, **optimizer)
    assert list(found) == [f"optimizer.{key}"]
    assert says in found[f"optimizer.{key}"]


def test_both_are_reported_at_once(tmp_path: Path) -> None:
    wrong = {"name": "sgd", "optim_args": "nesterov=true", "lr_scheduler_type": "cosine_with_min_lr"}
    assert list(faults(tmp_path, **wrong)) == ["optimizer.optim_args", "optimizer.lr_scheduler_type"]


def test_texts_of_optim_args_come_as_numbers_and_truth_values(tmp_path: Path) -> None:
    given = config(name="rmsprop_bnb", optim_args="alpha=0.9,momentum=0.5,centered=false")
    _, options = typed_class(training_arguments(given, CPU, tmp_path), torch.nn.Linear(2, 2))
    assert (options["alpha"], options["momentum"], options["centered"]) == (0.9, 0.5, False)


def test_an_optimizer_for_the_trainer_alone_goes_to_it_with_the_reason() -> None:
    for name, traits in OPTIMIZERS.items():
        reason = choose_loop(config(name=name)).reason
        assert bool(reason) == bool(traits.alone), name
        assert not traits.alone or f"optimizer.name {name} {traits.alone}" == reason
    for schedule in BY_METRIC:
        assert "goes by the loss of each evaluation" in choose_loop(config(lr_scheduler_type=schedule)).reason
        sections = {"adapter": {"method": "head"}, "optimizer": {"lr_scheduler_type": schedule}}
        head = TrainSettings.of(Config.model_validate(sections))
        assert not cached_head.suits(head) and "goes by the loss" in choose_loop(head).reason


NEEDS_NOTHING = [name for name, traits in OPTIMIZERS.items() if traits.package is None and not traits.other_device]
INSTALLED = [
    name for name, traits in OPTIMIZERS.items()
    if traits.package is not None and find_spec(traits.package.module) and not traits.cuda and "torch_" not in name
    and name != "galore_adafactor_layerwise"
]  # fmt: skip


@pytest.mark.parametrize("name", [*NEEDS_NOTHING, *INSTALLED])
def test_every_optimizer_at_hand_trains_and_learns(
    model_dir: Path, data: TokenisedData, base_models: BaseModelCache, name: OptimizerName
) -> None:
    traits = OPTIMIZERS[name]
    rate = {"sgd": 0.5, "lomo": 0.02, "schedule_free_sgd": 2.0, "rmsprop": 5e-4}.get(name.partition("_bnb")[0], 5e-3)
    optimizer: dict[str, Any] = {"name": name, "learning_rate": rate, "lr_scheduler_type": "constant"}
    if traits.targets:
        optimizer |= {"optim_target_modules": "all-linear", "optim_args": {"rank": 4, "update_proj_gap": 5}}
    plan = make_plan(model_dir, optimizer=optimizer, adapter={"method": "lora"}, trainer={"num_train_epochs": 4})
    assert not missing(name, CPU) and not device_faults(plan.settings, CPU)
    watcher = Watcher()
    outcome = watcher.run(plan, base_models=base_models, data=data)
    assert isinstance(outcome, Completed)
    losses = [point.metrics["eval/loss"] for point in outcome.evals]
    assert min(losses) < losses[0]


def test_a_plateau_lowers_the_learning_rate_by_the_validation_loss(
    model_dir: Path, data: TokenisedData, base_models: BaseModelCache
) -> None:
    for schedule in BY_METRIC:
        keywords = {"patience": 0, "factor": 0.5, "min_lr": 0.0, "threshold": 100.0, "threshold_mode": "abs"}
        optimizer = {"lr_scheduler_type": schedule, "lr_scheduler_kwargs": keywords, "learning_rate": 8e-3}
        trainer = {"num_train_epochs": 4, "logging_steps": 1}
        watcher = Watcher()
        plan = make_plan(model_dir, optimizer=optimizer, trainer=trainer)
        assert isinstance(watcher.run(plan, base_models=base_models, data=data), Completed)
        rates = [step.metrics["train/learning_rate"] for step in watcher.steps if step.metrics]
        assert rates[0] == 8e-3 and rates[-1] < 8e-3, schedule


def test_entries_of_the_mappings_can_be_searched(tmp_path: Path) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(
        "optimizer.optim_args.momentum: {low: 0.1, high: 0.9}\n"
        "optimizer.lr_scheduler_kwargs.num_cycles: {choices: [1, 2]}\n"
    )
    arguments = ["optimizer.name=sgd", "optimizer.lr_scheduler_type=cosine_with_restarts", f"study.space={space}"]
    plan = toys.plan(tmp_path, *arguments)
    trial = plan.trial(0, {"optimizer.optim_args.momentum": 0.3, "optimizer.lr_scheduler_kwargs.num_cycles": 2})
    assert trial.config.optimizer.optim_args == {"momentum": 0.3}
    assert trial.config.optimizer.lr_scheduler_kwargs == {"num_cycles": 2}
    assert "optimizer.optim_args.momentum=0.3" in trial.command
    with pytest.raises(UserError, match="is a text, but optimizer.optim_args.momentum is searched"):
        toys.plan(tmp_path, *arguments, "optimizer.optim_args='dampening=0.1'")
    with pytest.raises(UserError, match="is no argument of adamw_torch"):
        toys.plan(tmp_path, *arguments, "optimizer.name=adamw_torch")


def test_a_decay_longer_than_the_shortest_trial(tmp_path: Path) -> None:
    schedule = ["study.space=null", "optimizer.lr_scheduler_type=warmup_stable_decay"]
    toys.plan(tmp_path, *schedule, "optimizer.lr_scheduler_kwargs={num_decay_steps: 1}")
    with pytest.raises(UserError, match="has num_decay_steps 9999, and warmup takes"):
        toys.plan(tmp_path, *schedule, "optimizer.lr_scheduler_kwargs={num_decay_steps: 9999}")


def test_refitting_needs_a_schedule_that_goes_by_steps(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a refit has no validation rows"):
        toys.plan(tmp_path, "optimizer.lr_scheduler_type=greedy", "study.refit=true")


def test_projected_layers_are_looked_for_in_the_model(tmp_path: Path) -> None:
    pytest.importorskip("galore_torch")
    galore = ["optimizer.name=galore_adamw", "study.space=null", "optimizer.weight_decay=0"]
    with pytest.raises(UserError, match="names no linear layer that is trained; their names end in"):
        prepare(toys.plan(tmp_path, *galore, "optimizer.optim_target_modules=[nowhere]"))
    prepare(toys.plan(tmp_path, *galore, "optimizer.optim_target_modules=all-linear"))


def test_a_whole_study_with_another_optimizer_and_schedule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = [
        "+experiment=quickstart", f"model.path={tiny_bert(tmp_path)}", f"run_dir={tmp_path / 'run'}", "tracker=none",
        "dataset.max_train_samples=48", "dataset.max_eval_samples=28", "dataset.max_test_samples=28",
        "trainer.num_train_epochs=1", "optimizer.name=lion_32bit", "optimizer.lr_scheduler_type=cosine_with_restarts",
        "+optimizer.lr_scheduler_kwargs.num_cycles=2", "study.space=null", "study.n_trials=1",
    ]  # fmt: skip
    assert run(monkeypatch, *arguments, report=True) == 0
    store = Store(tmp_path / "run")
    assert "num_cycles=2" in (store.root / "report.md").read_text()
    assert isinstance(store.trials()[0].outcome, Completed)
