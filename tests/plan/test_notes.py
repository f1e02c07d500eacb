"""The advice that a plan has for its user, beside faults."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from support.plans import QUICK, space_file
from sweep.errors import UserError
from sweep.plan.plan import make_plan


def test_a_warmup_of_most_of_the_trial_is_reported() -> None:
    one = [QUICK, "study.space=null", "study.n_trials=1", "trainer.num_train_epochs=3", "trainer.eval_strategy=epoch"]
    (note,) = make_plan([*one, "optimizer.warmup_steps=150"]).notes
    assert note == "optimizer.warmup_steps is 150, more than a third of the 207 steps of this trial"
    assert not make_plan([*one, "optimizer.warmup_steps=69"]).notes


def test_trials_that_are_all_alike_are_reported() -> None:
    notes = make_plan([QUICK, "study.space=null", "study.n_trials=6"]).notes
    assert [note for note in notes if note.startswith("no key is searched: all 6 trials have the same values")]
    assert not [note for note in make_plan([QUICK, "study.n_trials=6"]).notes if "no key is searched" in note]


def test_a_warmup_that_the_search_could_draw_is_reported(tmp_path: Path) -> None:
    space = "optimizer.warmup_steps: {low: 0.0, high: 0.5}\ntrainer.num_train_epochs: {low: 1, high: 4}\n"
    (note,) = make_plan([QUICK, space_file(tmp_path, space)]).notes
    rule = "is 0.5, which is 35 steps, more than a third of the 69 steps of the shortest trial of this search"
    assert note == f"optimizer.warmup_steps {rule}"


IDLE = "evaluations within the first epoch only cost time; set trainer.eval_strategy=epoch"
MORE = f"{IDLE}, unless a larger study.n_trials is to follow"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["study.pruner=none"], f"study.pruner is none: {IDLE}"),
        (["study.pruner=none", "study.timeout=3600", "study.n_trials=500"], f"study.pruner is none: {IDLE}"),
        (["study=exhaustive", "study.space=grid"], f"study.pruner is none: {IDLE}"),
        (["study.n_trials=3"], f"of 3 trials study.pruner=racing stops none: {MORE}"),
        (["study.n_trials=1", "study.pruner=median"], f"of 1 trial study.pruner=median stops none: {MORE}"),
        (
            ["study.n_trials=9", "study.space=adapters", "study.compare_by=adapter"],
            f"of 3 trials of each adapter study.pruner=racing stops none: {MORE}",
        ),
    ],
)
def test_early_evaluations_that_stop_no_trial_are_reported(arguments: list[str], expected: str) -> None:
    assert make_plan([QUICK, *arguments]).notes == (f"trainer.eval_strategy is early, but {expected}",)


@pytest.mark.parametrize(
    "arguments",
    [
        ["study.n_trials=4"],
        ["study.n_trials=4", "study.timeout=60"],
        ["study.n_trials=3", "study.pruner=median"],
        ["study.n_trials=2", "study.pruner_options={finalists: 1}"],
        ["study.n_trials=10", "study.space=adapters", "study.compare_by=adapter"],
        ["study.n_trials=1", "trainer.eval_strategy=epoch"],
        ["study.n_trials=1", "trainer.eval_strategy=early"],  # asked for
        ["study.n_trials=1", "trainer.per_device_train_batch_size=1000"],  # an epoch is one step
    ],
    ids=str,
)
def test_early_evaluations_that_were_asked_for_or_can_stop_a_trial_or_cost_nothing_are_not(
    arguments: list[str],
) -> None:
    assert not [note for note in make_plan([QUICK, *arguments]).notes if "eval_strategy is early" in note]


def test_early_evaluations_that_a_space_or_an_experiment_asks_for_are_not_reported(tmp_path: Path) -> None:
    searched = space_file(tmp_path, "trainer.eval_strategy: {choices: [early, epoch]}")
    assert make_plan([QUICK, searched, "study.pruner=none"]).notes == ()
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment/mine.yaml").write_text(
        "# @package _global_\ndefaults: [quickstart]\nstudy: {pruner: none}\ntrainer: {eval_strategy: early}\n"
    )
    assert make_plan(["+experiment=mine", "--config-dir", str(tmp_path)]).notes == ()


def test_the_command_of_one_trial_evaluates_as_the_search_did_and_has_no_note(tmp_path: Path) -> None:
    plan = make_plan([QUICK, space_file(tmp_path, "trainer.eval_strategy: {choices: [early, epoch]}")])
    for strategy in ("early", "epoch"):
        again = make_plan(shlex.split(plan.trial(0, {"trainer.eval_strategy": strategy}).command)[3:])
        assert (again.config.trainer.eval_strategy, again.notes) == (strategy, ())
    alone = make_plan(shlex.split(make_plan([QUICK]).trial(0, {}).command)[3:])
    assert (alone.config.trainer.eval_strategy, alone.notes) == ("early", ())


def test_values_that_do_not_go_together_are_reported(tmp_path: Path) -> None:
    """Each is right alone."""
    text = "adapter: {choices: [lora, ia3]}\nadapter.r: {choices: [4, 8]}\noptimizer.learning_rate: {low: 1.0e-4, high: 1.0e-3}\n"
    (note,) = make_plan([QUICK, space_file(tmp_path, text), "study.n_trials=4"]).notes
    assert (
        "allows adapter=ia3, adapter.r=4, but adapter.r is 4, but adapter.method is ia3: only lora and dora have it"
        in note
    )
    fine = text.replace("[4, 8]", "[4, 8], when: {adapter: lora}")
    assert not make_plan([QUICK, space_file(tmp_path, fine), "study.n_trials=4"]).notes
    plan = make_plan([QUICK, space_file(tmp_path, text), "study.n_trials=4"])
    with pytest.raises(
        UserError, match=r"only lora and dora have it; type adapter.r=null, or adapter=lora  \(from search space"
    ):
        plan.trial(0, {"adapter": "ia3", "adapter.r": 4})


def test_settings_without_effect_are_reported_where_the_user_made_them(tmp_path: Path) -> None:
    """The revisions and delimiters that ship are of the originals."""
    for split in ("train", "test"):
        rows = [{"text": f"{split} {row}", "label": "ab"[row % 2]} for row in range(20)]
        (tmp_path / f"{split}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (tmp_path / "dataset").mkdir()
    text = f"path: {tmp_path}\nrevision: v1\nquoting: false\nlabel_names: null\n"
    (tmp_path / "dataset/mine.yaml").write_text(text)
    base = ["model=minilm", "study.space=null", "study.n_trials=1", "trainer.eval_strategy=epoch"]
    warnings = make_plan([*base, "dataset=mine", "--config-dir", str(tmp_path)]).splits.warnings
    assert warnings == (
        "dataset.revision (v1) has no effect: dataset.path is a folder or file here, not on the hub",
        "dataset.quoting (false) has no effect: what is read is JSON",
    )
    shipped = ["dataset=banking77", f"dataset.path={tmp_path}", "dataset.validation_split=null"]
    assert make_plan([*base, *shipped]).splits.warnings == ()
    (note,) = make_plan([*base, *shipped, "dataset.delimiter=|"]).splits.warnings
    assert note == "dataset.delimiter (|) has no effect: what is read is JSON"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["adapter.double_quantization=false"],
            "adapter.double_quantization has no effect: adapter.quantization is none",
        ),
        (["model.config=gpt2"], "model.config has no effect: model.init is pretrained"),
        (
            ["dataset.validation_split=validation", "dataset.validation_ratio=0.1", "dataset.stratify=false"],
            "dataset.validation_ratio and dataset.stratify have no effect: dataset.validation_split is validation",
        ),
        (
            ["study.snapshots=never", "study.pruner=median", "study.snapshot_every=5"],
            "study.snapshot_every has no effect: study.snapshots is never",
        ),
        (["launcher.wait=5"], "launcher.wait has no effect: launcher is inline"),
        (["tracker=none", "tracker.tags=[a]", "tracker.project=p"], "tracker.project and tracker.tags have no effect"),
    ],
    ids=str,
)
def test_values_that_others_keep_without_effect_are_reported(
    tmp_path: Path, arguments: list[str], expected: str
) -> None:
    for split in ("train", "validation", "test"):
        rows = "".join(f"{split} {row},{'ab'[row % 2]}\n" for row in range(20))
        (tmp_path / f"{split}.csv").write_text(f"text,label\n{rows}")
    (note,) = make_plan([QUICK, "dataset=custom", f"dataset.path={tmp_path}", *arguments]).notes
    assert note.startswith(expected)


def test_a_key_that_a_searched_group_decides_is_not_reported(tmp_path: Path) -> None:
    for searched in ("adapter: {choices: [lora, qlora]}", "adapter.quantization: {choices: [none, nf4]}"):
        space = space_file(tmp_path, searched)
        assert make_plan([QUICK, space, "adapter.double_quantization=false"]).notes == ()


def test_keys_that_the_command_line_takes_out_of_the_space_are_reported_in_one_note() -> None:
    (note,) = make_plan([QUICK, "optimizer.weight_decay=0", "trainer.num_train_epochs=3"]).notes
    expected = "optimizer.weight_decay is 0 and trainer.num_train_epochs is 3"
    assert note == f"{expected}, from the command line, and are not searched"


def test_a_warmup_is_reported_once() -> None:
    (note,) = make_plan([QUICK, "optimizer.warmup_steps=0.9"]).notes[1:]
    assert note.endswith("of the 105 steps of the shortest trial of this search")


def test_a_share_of_one_step_is_no_warmup(tmp_path: Path) -> None:
    one = ["study.pruner=none", "trainer.num_train_epochs=0.001"]
    note = make_plan([QUICK, *one]).notes[-1]
    assert "the shortest trial of this search has 1 step:" in note and note.endswith("the trial's record says so")
    with pytest.raises(UserError, match=r"must be below the 1 step of .*; type optimizer.warmup_steps=0  \(from"):
        make_plan([QUICK, *one, "optimizer.warmup_steps=0.1"])


def test_keys_that_a_sampler_does_not_learn_are_reported(tmp_path: Path) -> None:
    (note,) = make_plan([QUICK, "study.sampler=cmaes", "study.pruner=median"]).notes
    expected = "study.sampler is cmaes, which draws choices and keys with conditions at random: trainer.per_device_train_batch_size"
    assert note == f"{expected}; tpe learns them too"
    assert not make_plan([QUICK, "study.sampler=gp", "study.pruner=median"]).notes
    (note,) = make_plan(
        [QUICK, "study.sampler=gp", "study.pruner=median", "study.space=adapters", "study.n_trials=10"]
    ).notes
    assert "draws keys with conditions at random: adapter.r" in note


def test_a_small_share_of_few_steps_is_not_reported(tmp_path: Path) -> None:
    rows = "".join(f"text {row},{'ab'[row % 2]}\n" for row in range(40))
    (tmp_path / "train.csv").write_text(f"text,label\n{rows}")
    data = ["dataset=custom", f"dataset.path={tmp_path}", "dataset.test_split=null", "dataset.test_ratio=0.5"]
    assert make_plan([QUICK, *data]).notes == ()  # up to 0.3 of six steps, which is two


@pytest.mark.parametrize(
    ("arguments", "noted"),
    [
        (["study.metric=eval/mean_error"], True),
        (["study.metric=eval/RMSE"], True),
        (["study.metric=eval/mean_error", "study.direction=minimize"], False),
        (["study.metric=eval/terror_recall"], False),
        (["study.metric=eval/accuracy"], False),
    ],
)
def test_a_metric_that_sounds_better_when_lower_and_is_maximised_is_reported(
    arguments: list[str], noted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("mean_error", "RMSE", "terror_recall")
    code = "".join(f"def {name}(labels, probabilities):\n    return 0.5\n" for name in names)
    (tmp_path / "my_errors.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    own = f"dataset.metrics=[{','.join(f'my_errors.{name}' for name in names)}]"
    found = [note for note in make_plan([QUICK, own, *arguments]).notes if note.startswith("study.direction")]
    assert len(found) == noted
    assert all("if it is one, type study.direction=minimize" in note for note in found)
