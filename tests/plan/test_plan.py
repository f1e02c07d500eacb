"""Command lines that become plans, and the faults of those that do not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support.plans import QUICK, faults_of, space_file
from sweep.errors import Fault, UserError
from sweep.plan.plan import make_plan


def test_a_plan_knows_rows_labels_and_steps() -> None:
    plan = make_plan([QUICK])
    assert len(plan.splits.labels) == 14
    trial = plan.trial(0, {"trainer.num_train_epochs": 2, "trainer.per_device_train_batch_size": 16})
    assert trial.total_steps == 2 * -(-len(plan.splits.train) // 16)
    assert trial.config.trainer.num_train_epochs == 2


@pytest.mark.parametrize(
    ("arguments", "path", "part"),
    [
        (["trainer.epochs=3"], "trainer.epochs", "is not a config key"),
        (["+adapter.rank=8"], "adapter.rank", "adapter has: method"),
        (["optimizer.learning_rate=fast"], "optimizer.learning_rate", "must be a valid number"),
        (["study.n_trials=0"], "study.n_trials", "greater than or equal to 1"),
        (
            ["study.space=adapters", "study.compare_by=adapter", "study.pruner=hyperband"],
            "study.pruner",
            "mix the choices",
        ),
        (["study.study_name=.."], "study.study_name", "not of dots alone"),
        (["study.metric=eval/jaccard"], "study.metric", "a single_label task has"),
        (["study.metric=test/accuracy"], "study.metric", "no choice may look at"),
        (["study.metric=eval/loss"], "study.direction", "better when lower"),
        (["trainer.eval_strategy=no"], "study.pruner", "nothing is evaluated on the way"),
        (["trainer.eval_strategy=steps"], "trainer.eval_steps", "is null"),
        (
            ["trainer.num_train_epochs=1", "trainer.eval_strategy=epoch", "study.space=null"],
            "study.pruner",
            "evaluated once",
        ),
        (["study.space=five_knob"], "study.space", "did you mean five_knobs?"),
        (["study.sampler=grid"], "optimizer.learning_rate", "needs a step or choices"),
        (["study.sampler_options={startup: 3}"], "study.sampler_options.startup", "no argument of TPESampler"),
        (["study.enqueue=[{optimizer.learning_rate: 9}]"], "study.enqueue[0]", "the search space allows"),
        (["optimizer.warmup_steps=500", "study.space=null"], "optimizer.warmup_steps", "must be below the"),
        (
            ["study.space=null", "optimizer.lr_scheduler_type=constant", "optimizer.warmup_steps=3"],
            "optimizer.warmup_steps",
            "no warmup",
        ),
        (["trainer.early_stopping_threshold=0.1"], "trainer.early_stopping_threshold", "early_stopping_patience"),
        (["trainer.decision_threshold=tuned"], "trainer.decision_threshold", "takes the label with the highest score"),
        (["trainer.decision_threshold=0.4"], "trainer.decision_threshold", "is 0.4, but a single_label task"),
        (["trainer.decision_threshold=1.0"], "trainer.decision_threshold", "less than 1 or 'tuned'"),
        (["study.confirm_top=5"], "study.confirm_top", "counts only where study.confirm_seeds is above 1"),
        (["adapter=head", "adapter.r=8"], "adapter.r", "only lora and dora have it"),
        (["adapter=full", "adapter.quantization=nf4"], "adapter.quantization", "cannot be trained in full"),
        (["trainer.bf16=true", "trainer.fp16=true"], "trainer.fp16", "choose one"),
        (["engine=trainer", "engine.slots=4"], "engine.slots", "is 4, but engine.name is trainer, which trains one"),
        (["engine.slots=0"], "engine.slots", "greater than or equal to 1 or 'auto'"),
        (["dataset.path=nowhere/at/all"], "dataset.path", "nowhere/at/all"),
        (["dataset.text_column=body"], "dataset.text_column", "text, label"),
        (["dataset.test_split=holdout"], "dataset.test_split", "holdout"),
        (["dataset.test_ratio=0.5"], "dataset.test_ratio", "the test split is test"),
        (["dataset.label_names=[a,b]"], "dataset.label_column", "unknown label"),
        (["study.storage='postgresql://host/db?password=secret'"], "study.storage", "holds a password"),
        (
            ["study.pruner_options={percentile: 200}", "study.pruner=percentile"],
            "study.pruner_options",
            "is refused",
        ),
        (
            ["study.sampler_options={n_startup_trials: abc}"],
            "study.sampler_options.n_startup_trials",
            "must be a whole number",
        ),
        (
            ["study.pruner_options={reduction_factor: inf}"],
            "study.pruner_options.reduction_factor",
            "is Infinity, but must be a finite number  (from the command line)",
        ),
        (
            ["study.pruner_options={finalists: nan}"],
            "study.pruner_options.finalists",
            "is NaN, but must be a finite number",
        ),
        (
            ["study.sampler=cmaes", "study.sampler_options={x0: {optimizer.weight_decay: -inf}}"],
            "study.sampler_options.x0.optimizer.weight_decay",
            "is -Infinity, but must be a finite number",
        ),
        (["trainer.num_train_epochs=1e9"], "trainer.num_train_epochs", "less than or equal to 10000"),
        (["study.n_trials=1e24"], "study.n_trials", "is 1e+24, but must be"),
        ([f"study.n_trials={10**24}"], "study.n_trials", "less than or equal to 100000"),
        ([f"trainer.per_device_train_batch_size={10**23}"], "trainer.per_device_train_batch_size", "equal to 65536"),
        (["adapter.r=1000000000"], "adapter.r", "less than or equal to 65536"),
        (["adapter.target_modules=[]"], "adapter.target_modules", "is [], but must have at least 1 item"),
        (["optimizer.learning_rate=1e300"], "optimizer.learning_rate", "is 1e+300, but must be at most 100"),
        (["study.timeout=1e300"], "study.timeout", "less than or equal to 100000000"),
        (["engine.slots=1000000000"], "engine.slots", "less than or equal to 1024"),
        (["study.enqueue=[{}]"], "study.enqueue[0]", "is empty, but a point must give"),
        (
            ["study.space=adapters", "study.enqueue=[{adapter: ia3, adapter.r: 4}]"],
            "study.enqueue[0]",
            "adapter.r, which is searched only where adapter is lora",
        ),
        (["trainer.num_train_epochs=1e999"], "trainer.num_train_epochs", "is Infinity, but must be a finite number"),
        (["optimizer.warmup_steps=inf"], "optimizer.warmup_steps", "is Infinity, but must be a finite number"),
        (["study.pruner=none", "study.pruner_options={foo: 1}"], "study.pruner_options", "study.pruner is none"),
        (["study.seed=-1"], "study.seed", "greater than or equal to 0"),
        (["+published={trials: [{parms: {}}]}"], "published.trials[0].parms", "is not a config key"),
        (["study.storage=study.db"], "study.storage", "must be an address"),
        (["study.storage=sqlite://"], "study.storage", "kept in memory and lost"),
        (["study.storage='postgresql://h/d?sslpassword=hush'"], "study.storage", "holds a password"),
        (["prompt=labels"], "prompt", "must be one of: label, none, sentiment, snli (did you mean label?)"),
        (["prompt.scoring=mean"], "prompt.template", "is missing, and must be given"),
        (["prompt.template=Text"], "prompt.template", "lacks {text}"),
        (["prompt=snli"], "prompt.template", "has {text_pair}, but dataset.text_pair_column is null"),
        (["prompt=sentiment"], "prompt.label_words", "lacks the words of access_request"),
        (["prompt=label", "adapter=head"], "adapter.method", "there is no head to train"),
        (["prompt=label", "trainer.label_smoothing_factor=0.1"], "trainer.label_smoothing_factor", "is 0.1, but with"),
        (["prompt=label", "model.pooling=last"], "model.pooling", "nothing is pooled"),
        (["prompt=label", "adapter.head_init=probe"], "adapter.head_init", "there is no head; use random"),
        (["adapter.head_init=zeros"], "adapter.head_init", "'random' or 'probe'"),
        (["model.pooling=first"], "model.pooling", "'mean', 'cls', 'pooler' or 'last'"),
        (["prompt=label", "dataset.task=multi_label"], "prompt", "dataset.task is multi_label"),
        (["study.storage=postgresql://me:secret@host/db"], "study.storage", "holds a password"),
    ],
)
def test_each_mistake_is_named_with_its_key_and_origin(arguments: list[str], path: str, part: str) -> None:
    found = faults_of(QUICK, *arguments)
    assert part in found[path], found
    assert "secret" not in found[path]


def test_mistakes_of_every_kind_come_in_one_message(tmp_path: Path) -> None:
    space = space_file(
        tmp_path, "optimizer.lr: {low: 1, high: 2}\noptimizer.weight_decay: {low: 0, high: 1, log: true}\n"
    )
    found = faults_of(QUICK, "trainer.epochs=3", "adapter.r=-1", "study.metric=f1", "dataset.text_column=body", space)
    assert set(found) == {
        "trainer.epochs", "adapter.r", "study.metric", "dataset.text_column", "optimizer.lr", "optimizer.weight_decay.low",
    }  # fmt: skip
    assert "(from the command line)" in found["adapter.r"]
    assert "(from search space space.yaml)" in found["optimizer.lr"]


def test_every_fault_of_a_prompt_comes_in_one_message() -> None:
    words = "prompt.label_words={lost_card: ' lost'}"
    found = faults_of(QUICK, "prompt.template='{body}'", words, "adapter=head", "trainer.label_smoothing_factor=0.1")
    assert set(found) == {
        "prompt.template", "prompt.label_words", "adapter.method", "model.pooling", "trainer.label_smoothing_factor",
    }  # fmt: skip


def test_an_unknown_option_does_not_hide_what_else_is_wrong() -> None:
    found = faults_of(QUICK, "adapter=loda", "adapter.rank=8", "trainer.num_train_epochs=-1", "a b", "study.seed=1")
    assert set(found) == {"adapter", "adapter.rank", "trainer.num_train_epochs", "a b"}
    assert "did you mean lora?" in found["adapter"] and "the command line" in found["adapter.rank"]


def test_rules_that_a_missing_option_decides_have_to_wait() -> None:
    """With the default adapter in its place, LoRA, the second would be a fault."""
    found = faults_of(QUICK, "adapter=ia4", "adapter.feedforward_modules=[x]", "optimizer.speed=1")
    assert set(found) == {"adapter", "optimizer.speed"}


def test_a_number_that_json_cannot_hold_is_refused_in_a_file_too(tmp_path: Path) -> None:
    found = faults_of(QUICK, space_file(tmp_path, "optimizer.weight_decay: {choices: [0.1, .inf]}"))
    assert "must be a finite number  (from search space space.yaml" in found["optimizer.weight_decay"]
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment/mine.yaml").write_text(
        "# @package _global_\ndefaults: [quickstart]\nstudy: {pruner_options: {reduction_factor: .inf}}\n"
    )
    found = faults_of("+experiment=mine", "--config-dir", str(tmp_path))
    assert set(found) == {"study.pruner_options.reduction_factor"}
    assert f"is Infinity, but must be a finite number  (from {tmp_path}/experiment/mine.yaml)" in found.popitem()[1]


def test_a_limit_is_named_with_its_own_key_and_the_file_that_set_it(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    file = tmp_path / "experiment/mine.yaml"
    file.write_text(
        "# @package _global_\ndefaults: [quickstart]\n"
        "study: {limits: {parameters.trained: -1, eval/loss: many, cost: {second: 5}, predict.latency_ms: 5}}\n"
    )
    found = faults_of("+experiment=mine", "study.limits.parameters.total=few", "--config-dir", str(tmp_path))
    assert set(found) == {
        f"study.limits.{name}" for name in ("parameters.trained", "eval.loss", "cost.second", "parameters.total")
    }
    named = "study.limits.parameters.trained"
    assert found[named] == f"{named}: is -1, but must be greater than 0  (from {file})"
    assert f'is "many", but must be a valid number  (from {file})' in found["study.limits.eval.loss"]
    assert (
        "did you mean cost.seconds?" in found["study.limits.cost.second"]
        and str(file) in found["study.limits.cost.second"]
    )
    assert found["study.limits.parameters.total"].endswith("(from the command line)")


def test_a_mistake_ends_in_exit_code_2_without_traceback_or_torch(tmp_path: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "sweep", QUICK, "trainer.epochs=3"]
    folder = tmp_path / "here"
    folder.mkdir()
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 2
    assert "trainer.epochs: is not a config key" in done.stderr
    assert "Traceback" not in done.stderr
    assert not {"torch", "transformers", "datasets", "pandas"} & {
        line.rpartition("|")[2].strip() for line in done.stderr.splitlines()
    }
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("arguments", [["--help"], ["--cfg", "job"], ["--version"]])
def test_questions_are_answered_with_exit_code_0(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        make_plan([QUICK, *arguments])
    assert done.value.code == 0
    assert capsys.readouterr().out


def test_the_config_is_printed_resolved_and_in_part(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        make_plan([QUICK, "--cfg", "job", "--resolve", "--package", "trainer.seed", "study.seed=7"])
    assert capsys.readouterr().out == "7\n"


@pytest.mark.parametrize(
    ("part", "printed"),
    [
        ("prompt", "null\n"),
        ("study.timeout", "null\n"),
        ("trainer.save_best", "true\n"),
        ("run_dir", "runs/quickstart\n"),
        ("tracker.tags", "[]\n"),
    ],
)
def test_a_part_of_the_config_is_printed_even_if_it_is_null(
    part: str, printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as done:
        make_plan([QUICK, "--cfg", "job", "--package", part])
    assert (done.value.code, capsys.readouterr().out) == (0, printed)


def test_a_text_with_the_mark_of_an_interpolation_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "experiment").mkdir()
    text = "# @package _global_\ndefaults: [quickstart]\ntitle: 'costs \\${5} and \\${x'\n"
    (tmp_path / "experiment" / "mine.yaml").write_text(text)
    with pytest.raises(SystemExit) as done:
        make_plan(["+experiment=mine", "--config-dir", str(tmp_path), "--cfg", "job"])
    assert done.value.code == 0 and r"costs \${5} and \${x" in capsys.readouterr().out


def test_a_run_directory_in_the_home_folder_is_found_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert make_plan([QUICK, "run_dir='~/runs/mine'"]).config.run_dir == f"{tmp_path}/runs/mine"
    found = faults_of(QUICK, "study.warm_start=['~/runs/before']")
    assert f"is {tmp_path}/runs/before, which is no folder" in found["study.warm_start[0]"]


def test_an_unknown_flag_is_refused() -> None:
    with pytest.raises(SystemExit) as done:
        make_plan([QUICK, "--no-such-flag"])
    assert done.value.code == 2


@pytest.mark.parametrize(
    ("flags", "path", "instead"),
    [
        (["-m"], "-m", "study.space=FILE"),
        (["--multirun"], "--multirun", "study.space=FILE"),
        (["--info=defaults"], "--info", "--cfg job"),
        (["-i"], "-i", "--cfg job"),
        (["-sc", "install=bash"], "-sc", "--help"),
        (["-cn", "mine"], "-cn", "--config-dir"),
        (["--config-path=mine"], "--config-path", "--config-dir"),
        (["--run"], "--run", "leave it out"),
        (["--cfg", "all"], "--cfg", "must be job"),
        (["-c", "hydra"], "--cfg", "must be job"),
        (["--package=nope"], "--package", "--cfg job --package nope"),
        (["--cfg", "job", "--package=nope"], "--package", "which the config does not have"),
        (["--cfg", "job", "-p", "study.nam"], "--package", "(did you mean study."),
        (["--cfg", "job", "-p", "tracker.tags.x"], "--package", "which the config does not have"),
        (["--resolve"], "--resolve", "--cfg job --resolve"),
    ],
)
def test_a_flag_without_effect_is_refused_with_what_to_type(flags: list[str], path: str, instead: str) -> None:
    assert instead in faults_of(QUICK, *flags)[path]


def test_the_newest_adapter_is_kept_beside_the_best_one() -> None:
    found = faults_of(QUICK, "trainer.save_newest=true", "trainer.save_best=false")
    assert "trainer.save_best is false" in found["trainer.save_newest"]


def test_what_fails_after_the_plan_is_named_with_its_origin_too() -> None:
    plan = make_plan([QUICK, "launcher=local", "launcher.workers=2"])
    faults = [
        Fault("launcher.workers", "is 2"), Fault("study.storage", "is away", "elsewhere"),
        Fault("lost/lock.json", "is damaged"), Fault("", "something else"),
    ]  # fmt: skip
    with pytest.raises(UserError) as failed, plan.naming_origins():
        raise UserError(faults)
    assert [fault.origin for fault in failed.value.faults] == ["the command line", "elsewhere", "", ""]


def test_an_error_whose_faults_have_no_origin_stays_as_it_is() -> None:
    class OwnError(UserError):
        pass

    plan, own = make_plan([QUICK]), OwnError([Fault("lost/lock.json", "is damaged")])
    with pytest.raises(OwnError) as failed, plan.naming_origins():
        raise own
    assert failed.value is own
