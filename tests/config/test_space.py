from __future__ import annotations

from pathlib import Path

import pytest

from sweep.config.domains import Choices, Range
from sweep.config.space import Parameter, Space, find, load
from sweep.errors import UserError

GROUPS = {"adapter": ("lora", "ia3"), "experiment": ("quickstart",)}


def read(folder: Path, text: str) -> tuple[Space, dict[str, str]]:
    path = folder / "space.yaml"
    path.write_text(text)
    space, faults = load(path, GROUPS)
    assert all(fault.origin == "search space space.yaml" for fault in faults if not fault.path.endswith("space.yaml"))
    return space, {fault.path: fault.message for fault in faults}


def test_ranges_choices_and_conditions(tmp_path: Path) -> None:
    space, faults = read(tmp_path, """
        optimizer.learning_rate: {low: 1e-5, high: 1e-3, log: true}
        trainer.num_train_epochs: {low: 2, high: 6, step: 2}
        adapter: {choices: [lora, ia3]}
        adapter.r: {choices: [4, 8], when: {adapter: lora}}
    """)  # fmt: skip
    assert not faults
    assert space["optimizer.learning_rate"].domain == Range(1e-5, 1e-3, log=True)
    assert space["trainer.num_train_epochs"].domain.grid() == (2, 4, 6)
    assert space["adapter"].domain == Choices(("lora", "ia3"))
    assert space["adapter.r"].active({"adapter": "lora"})
    assert not space["adapter.r"].active({"adapter": "ia3"})
    assert {"adapter": "lora", "adapter.r": 8} in list(space.corners())
    assert space.grid_size() is None


@pytest.mark.parametrize(
    ("line", "path", "part"),
    [
        (
            "optimizer.learning_rat: {low: 1, high: 2}",
            "optimizer.learning_rat",
            "did you mean optimizer.learning_rate?",
        ),
        ("engine.slots: {low: 1, high: 8}", "engine.slots", "belongs to the study, not to a trial"),
        ("engine.name: {choices: [packed, trainer]}", "engine.name", "belongs to the study, not to a trial"),
        ("optimizer: {low: 1, high: 2}", "optimizer", "neither a config key"),
        ("optimizer.learning_rate: {low: 1, high: 1}", "optimizer.learning_rate.low", "must be below high"),
        ("optimizer.learning_rate: {low: 0, high: 1, log: true}", "optimizer.learning_rate.low", "above 0 on a log"),
        ("optimizer.learning_rate: {low: a, high: 1}", "optimizer.learning_rate.low", "must be a number"),
        ("optimizer.learning_rate: {high: 1}", "optimizer.learning_rate.low", "must be a number"),
        ("optimizer.learning_rate: {low: 0, high: 1, step: 0}", "optimizer.learning_rate.step", "above 0"),
        ("optimizer.learning_rate: {low: 1, high: 2, logg: true}", "optimizer.learning_rate.logg", "did you mean log?"),
        ("optimizer.learning_rate: {low: 1, high: .inf}", "optimizer.learning_rate", "finite"),
        ("optimizer.learning_rate: {low: 1, high: 2, step: .inf}", "optimizer.learning_rate.step", "finite"),
        ("optimizer.learning_rate: {low: 1, high: 2, step: .nan}", "optimizer.learning_rate.step", "finite"),
        ("trainer.device: {choices: [cpu]}", "trainer.device", "the same for all trials"),
        ("optimizer.learning_rate: 0.1", "optimizer.learning_rate", "must be a range"),
        ("adapter.r: {choices: []}", "adapter.r.choices", "at least one value"),
        ("adapter.r: {choices: [4, 4]}", "adapter.r.choices", "twice"),
        ("adapter.r: {choices: [1, 1.0]}", "adapter.r.choices", "1 and 1.0 are the same value"),
        ("adapter.r: {choices: [true, 1]}", "adapter.r.choices", "true and 1 are the same value"),
        ("adapter.r: {choices: [0.0, false]}", "adapter.r.choices", "0.0 and false are the same value"),
        ("adapter.r: {choices: [.nan, .nan]}", "adapter.r.choices", "twice"),
        ("adapter.r: {low: 1, high: 10000000000000000000000000}", "adapter.r.high", "between -2^53 and 2^53"),
        ("adapter.r: {low: 1, high: 9, step: 10000000000000000000000000}", "adapter.r.step", "between -2^53 and 2^53"),
        ("adapter.r: {low: 1, high: 9, step: 20}", "adapter.r.step", "must be at most 8"),
        ("optimizer.weight_decay: {low: 0.0, high: 1.0, step: 1.0e-20}", "optimizer.weight_decay.step", "too small"),
        (
            "optimizer.weight_decay: {low: 1.0e+8, high: 1.0e+9, step: 1.0e-9}",
            "optimizer.weight_decay.step",
            "too small",
        ),
        ("optimizer.weight_decay: {low: -1.0e+308, high: 1.0e+308}", "optimizer.weight_decay", "wider than a number"),
        (f"adapter.r: {{choices: {[*range(1001)]}}}", "adapter.r.choices", "may have 1000 at most; give a range"),
        ("adapter: {choices: [lora, dora]}", "adapter.choices", "adapter has: lora, ia3"),
        ("adapter: {low: 1, high: 2}", "adapter", "give choices"),
        ("adapter.r: {choices: [4], when: {adapter: lora}}", "adapter.r.when", "a key searched above it"),
        (
            "optimizer: {learning_rate: {low: 1, high: 2}, weight_decay: {choices: [0, 1]}}",
            "optimizer",
            "holds keys of its own, which are written in full, as optimizer.learning_rate: {low: …, high: …}",
        ),
        ("dataset.seed: {low: 1, high: 2}", "dataset.seed", "only max_length can"),
        ("study.n_trials: {low: 1, high: 2}", "study.n_trials", "cannot be searched"),
    ],
)
def test_faults_of_a_space_are_reported(tmp_path: Path, line: str, path: str, part: str) -> None:
    space, faults = read(tmp_path, line)
    assert part in faults[path]
    assert len(space) == 0


def test_a_condition_without_a_value_is_a_fault(tmp_path: Path) -> None:
    space, faults = read(tmp_path, "adapter: {choices: [lora, ia3]}\nadapter.r: {choices: [4], when: {adapter: []}}\n")
    assert faults == {"adapter.r.when": "gives no value of adapter, but must give at least one"}
    assert [one.key for one in space] == ["adapter"]


def test_a_path_without_its_ending_is_refused_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").touch()
    with pytest.raises(UserError, match=r"; type study.space=mine.yaml$"):
        find("mine", [])


def test_a_space_in_the_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.yaml").touch()
    assert find("~/mine.yaml", []) == tmp_path / "mine.yaml"


def test_every_fault_of_a_file_is_found_at_once(tmp_path: Path) -> None:
    _, faults = read(tmp_path, "adapter.r: {choices: []}\noptimizer.weight_decay: {low: 2, high: 1}\n")
    assert set(faults) == {"adapter.r.choices", "optimizer.weight_decay.low"}


@pytest.mark.parametrize(
    "text", ["", "[1, 2]", "a: [b", "a: !!int b", "a: !!timestamp 2001-99-99", "? [1]\n: 2", "a: ${"]
)
def test_a_file_that_is_no_mapping_is_a_fault(tmp_path: Path, text: str) -> None:
    _, faults = read(tmp_path, text)
    assert len(faults) == 1


def test_spaces_are_found_by_name_in_own_folders_too(tmp_path: Path) -> None:
    (tmp_path / "sweeps").mkdir()
    own = tmp_path / "sweeps" / "mine.yaml"
    own.write_text("adapter.r: {choices: [4]}\n")
    assert find("mine", [tmp_path]) == own
    assert find("five_knobs", []).parent.name == "sweeps"
    with pytest.raises(UserError, match="did you mean five_knobs"):
        find("five_knob", [])
    with pytest.raises(UserError, match="no such file"):
        find(str(tmp_path / "none.yaml"), [])


def test_a_space_is_kept_as_it_was_written(tmp_path: Path) -> None:
    text = "adapter: {choices: [lora, ia3]}\nadapter.r: {low: 2, high: 8, step: 2, when: {adapter: lora}}\n"
    assert read(tmp_path, text)[0].plain() == {
        "adapter": {"choices": ["lora", "ia3"]},
        "adapter.r": {"low": 2, "high": 8, "step": 2, "when": {"adapter": ["lora"]}},
    }


def test_a_range_knows_what_the_sampler_gives(tmp_path: Path) -> None:
    assert Range(4, 16, step=0.5).ends() == (4.0, 4.5, 16.0)
    assert Range(2, 6, step=2).contains(4) and not Range(2, 6, step=2).contains(3)
    assert not Range(2, 6).contains(3.5)
    assert Range(0.0, 0.3, step=0.1).contains(0.2)


def test_values_are_counted_before_they_are_made() -> None:
    wide = Space(
        (Parameter("a", Range(0, 10**12)), Parameter("b", Range(0.0, 1.0, step=0.25)), Parameter("c", Choices((1, 2))))
    )
    assert wide.grid_size() == (10**12 + 1) * 5 * 2
    assert Range(4, 16, step=0.5).count() == 25 and Range(1e-3, 1.0, log=True).count() is None
    for one in (Range(2, 7, step=2), Range(0.0, 0.3, step=0.1), Range(1, 3)):
        assert len(one.grid() or ()) == one.count()
