"""The experiments in conf/experiment: what they compose to, on made-up data with the sizes of the
real sets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, reduce
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet
from pydantic import BaseModel

from support.published_figures import FIGURES, SETTINGS, STEPS
from sweep.config.cli import read_arguments
from sweep.config.compose import Composer
from sweep.config.folders import conf_dir
from sweep.config.parse import parse
from sweep.config.schema import Config
from sweep.plan.experiment import Experiment
from sweep.plan.plan import Plan, make_plan
from sweep.plan.space import fixed_values, load_space, searching
from sweep.search.pruners import never_stopped

EXPERIMENTS = sorted(file.stem for file in (conf_dir() / "experiment").glob("*.yaml"))
SEVERAL = ("quickstart", "dialogpt_qlora", "minilm_banking77_hour")
ONE_SETTING = [name for name in EXPERIMENTS if name not in SEVERAL and "compare" not in name]
MINILM = [f"minilm_{data}_{method}" for data in ("banking77", "semeval") for method in ("lora", "ia3", "head", "full")]
EMOTIONS = ("anger", "anticipation", "disgust", "fear", "joy", "love", "optimism", "pessimism", "sadness", "surprise",
            "trust")  # fmt: skip


def rows(count: int, labels: list[Any], **columns: str) -> pa.Table:
    texts = [f"text {index}" for index in range(count)]
    return pa.table({**dict.fromkeys(columns.values(), texts), "label": (labels * count)[:count]})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Config group → a folder of as many rows as the real data set has."""
    found = {name: tmp_path_factory.mktemp(name) for name in ("banking77", "imdb", "semeval2018_ec", "snli")}
    intents, answers = [f"intent {index:02d}" for index in range(77)], ["entailment", "neutral", "contradiction"]
    for split, count in (("train", 10_003), ("test", 3080)):
        parquet.write_table(rows(count, intents, text="text"), found["banking77"] / f"{split}.parquet")
    for split in ("train", "test"):
        parquet.write_table(rows(25_000, [0, 1], text="text"), found["imdb"] / f"{split}.parquet")
    for split, count in (("train_sample", 1666), ("validation", 9842), ("test", 9824)):
        pairs = rows(count, answers, text="premise", text_pair="hypothesis")
        parquet.write_table(pairs, found["snli"] / f"{split}.parquet")
    for split, count in (("train", 6838), ("dev", 886)):
        lines = ["\t".join(["ID", "Tweet", *EMOTIONS])]
        lines += ["\t".join([str(row), f'{split} "{row}', *"10010000000"]) for row in range(count)]
        (found["semeval2018_ec"] / f"2018-E-c-En-{split}.txt").write_text("\r\n".join(lines) + "\r\n")
    return found


def plan(name: str, data: dict[str, Path], *overrides: str) -> Plan:
    return _made(f"+experiment={name}", *local(name, data), *overrides)


@cache
def _made(*arguments: str) -> Plan:
    """Return the plan of a command line, made once: it takes up to a second, and several tests ask for it."""
    return make_plan(arguments)


def searched(name: str, data: dict[str, Path], *overrides: str) -> Experiment:
    """Return the experiment with its space, without the checks and notes of a plan."""
    experiment, faults = Experiment.read(read_arguments([f"+experiment={name}", *local(name, data), *overrides]))
    space, space_faults = load_space(experiment)
    assert not faults and not space_faults
    return searching(experiment, space, fixed_values(experiment, space))


def local(name: str, data: dict[str, Path]) -> list[str]:
    """The overrides that give an experiment its data from a folder."""
    text = (conf_dir() / "experiment" / f"{name}.yaml").read_text()
    found = re.search(r"override /dataset: (\w+)", text)
    group = found[1] if found else ""
    if group.startswith("snli"):
        return ["dataset=snli_sample", f"dataset.path={data['snli']}"]
    return [f"dataset.path={data[group]}"] if group in data else []


def at(config: Config, path: str) -> Any:
    return reduce(getattr, path.split("."), config)


def numbers(value: Any) -> Iterator[float]:
    """Every number in `value`, however deep."""
    match value:
        case BaseModel():
            yield from numbers(value.model_dump())
        case dict():
            for item in value.values():
                yield from numbers(item)
        case tuple() | list():
            for item in value:
                yield from numbers(item)
        case int() | float():
            yield value


def test_nothing_that_was_published_is_missing() -> None:
    assert {*SETTINGS, *MINILM, "smollm_snli", "compare_adapters", "compare_adapters_banking77"} <= set(EXPERIMENTS)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_passes_every_check_but_those_of_weights(name: str, data: dict[str, Path]) -> None:
    made = plan(name, data)
    assert made.config.study.study_name == name and made.config.title
    assert made.splits.test is not None


@pytest.mark.parametrize("name", SETTINGS)
def test_the_published_setting_is_composed(name: str) -> None:
    config, faults = parse(Composer().compose([f"+experiment={name}"]).resolved(), lambda path: "")
    assert faults == []
    assert {path: at(config, path) for path in SETTINGS[name]} == SETTINGS[name]


@pytest.mark.parametrize("name", STEPS)
def test_rows_and_steps_follow_from_it(name: str, data: dict[str, Path]) -> None:
    made = plan(name, data)
    assert (len(made.splits.train), made.trial(0, {}).total_steps) == STEPS[name]


@pytest.mark.parametrize("name", FIGURES)
def test_every_published_figure_is_at_hand(name: str, data: dict[str, Path]) -> None:
    known = plan(name, data).config
    held = {*numbers(known.published), *numbers(known.adapter), *numbers(known.trainer)}
    assert set(FIGURES[name]) <= held


@pytest.mark.parametrize("name", ONE_SETTING)
def test_the_first_trial_is_the_experiment_as_it_stands(name: str, data: dict[str, Path]) -> None:
    made = plan(name, data)
    (point,) = made.config.study.enqueue
    assert made.config.study.n_trials == 1
    assert set(point) == {parameter.key for parameter in made.space if parameter.active(point)}
    assert {key: at(made.config, key) for key in point} == point
    wider = searched(name, data, "study.n_trials=20")
    assert wider.config.study.enqueue == (point,) and len(wider.space) == len(made.space)


@pytest.mark.parametrize("name", sorted({*FIGURES} & {*ONE_SETTING}))
def test_that_trial_is_the_published_one(name: str, data: dict[str, Path]) -> None:
    config = plan(name, data).config
    assert config.published is not None
    ((point,), (trial,)) = config.study.enqueue, config.published.trials
    assert trial.params and trial.params.items() <= point.items()


def test_warmup_beyond_a_third_of_the_training_is_said(data: dict[str, Path]) -> None:
    rule = "optimizer.warmup_steps is 500, more than a third of the 930 steps of this trial"
    assert plan("gpt2_lora", data).notes == (rule,)
    assert plan("gpt2_head", data).notes == ()
    (note,) = plan("gpt2_head", data, "study.n_trials=20").notes
    assert note.endswith("of the shortest trial of this search")


@pytest.mark.parametrize("name", ["compare_adapters", "compare_adapters_banking77"])
def test_adapters_are_compared_on_equal_terms(name: str, data: dict[str, Path]) -> None:
    made = plan(name, data)
    values = made.space["adapter"].domain.grid()
    assert made.config.study.compare_by == "adapter" and values == ("lora", "ia3", "head")
    assert made.config.study.n_trials % len(values) == 0 and made.config.study.pruner == "none"


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_early_evaluations_are_for_searches_that_prune_and_repeat_no_published_table(
    name: str, data: dict[str, Path]
) -> None:
    made = plan(name, data)
    config = made.config
    assert not [note for note in made.notes if "eval_strategy" in note]
    if (
        config.published is not None
        or never_stopped(config.study) >= config.study.n_trials
        or config.trainer.early_stopping_patience
    ):
        assert config.trainer.eval_strategy in ("epoch", "steps")


def test_the_quickstart_prunes_as_a_user_who_changes_nothing() -> None:
    config = plan("quickstart", {}).config
    assert (config.study.pruner, config.trainer.eval_strategy, config.study.sampler) == ("racing", "early", "tpe")
