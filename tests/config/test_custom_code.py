"""Samplers and pruners from a module that lies in the working directory, as a user's would."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import toys
from support.program import run
from sweep.config.custom_code import OwnCodeError, code_state, described, load
from sweep.errors import UserError
from sweep.records.trial import Pruned
from sweep.search.options import option_faults
from sweep.study.search import search
from sweep.study.session import _own_code

MODULE = """
import optuna

ASKED = []

class Fixed(optuna.samplers.BaseSampler):
    '''Always the same share of each range.'''

    def __init__(self, share: float = 0.5, seed=None):
        self.share, self.seed = share, seed
        ASKED.append(seed)

    def infer_relative_search_space(self, study, trial):
        return {}

    def sample_relative(self, study, trial, search_space):
        return {}

    def sample_independent(self, study, trial, name, distribution):
        return distribution.low + self.share * (distribution.high - distribution.low)

class Outside(Fixed):
    def sample_independent(self, study, trial, name, distribution):
        return distribution.high * 2

class Late(Fixed):
    def sample_independent(self, study, trial, name, distribution):
        if study.user_attrs and len(study.trials) > 2:
            raise KeyError("third")
        return super().sample_independent(study, trial, name, distribution)

def tpe(startup, *, seed):
    return optuna.samplers.TPESampler(n_startup_trials=startup, seed=seed)

class Worst(optuna.pruners.BasePruner):
    def prune(self, study, trial):
        return True

class Breaking(optuna.pruners.BasePruner):
    def prune(self, study, trial):
        return 1 / (trial.number - 1)

def number():
    return 7

constant = 3
"""
SPACE = ["study.sampler=mysearch.Fixed", "study.pruner=none"]


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "mysearch.py").write_text(MODULE)
    (tmp_path / "broken.py").write_text("import nowhere_at_all\n")
    (tmp_path / "failing.py").write_text("x = 1\nraise SystemExit('no')\n")
    (tmp_path / "space.yaml").write_text("optimizer.learning_rate: {low: 0.001, high: 0.003}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place not in ("", ".")])
    yield
    for name in ("mysearch", "broken", "failing"):
        sys.modules.pop(name, None)


def overrides(*more: str) -> list[str]:
    return ["study.space=space.yaml", "study.n_trials=3", *more]


def fault(*more: str) -> tuple[str, str]:
    with pytest.raises(UserError) as refused:
        toys.plan(Path.cwd(), *overrides(*more))
    (found,) = refused.value.faults
    return found.path, found.message


def test_a_sampler_of_the_users_own_chooses_the_points_with_a_fresh_seed_for_each(tmp_path: Path) -> None:
    with toys.session(tmp_path, *overrides(*SPACE, "+study.sampler_options.share=0.25")) as session:
        records = search(session)
    assert [record.params["optimizer.learning_rate"] for record in records] == [0.0015] * 3
    seeds = set(sys.modules["mysearch"].ASKED)
    assert len(seeds) >= 3 and None not in seeds


def test_a_study_that_goes_on_asks_for_the_points_of_one_that_ran_through(tmp_path: Path) -> None:
    asked = overrides("study.sampler=mysearch.tpe", "+study.sampler_options.startup=2", "study.pruner=none")
    with toys.session(tmp_path / "a", *asked, "study.n_trials=5") as session:
        through = [record.params for record in search(session)]
    with toys.session(tmp_path / "b", *asked, "study.n_trials=2") as session:
        search(session)
    with toys.session(tmp_path / "b", *asked, "study.n_trials=5") as session:
        assert [record.params for record in search(session)] == through


def test_a_pruner_of_the_users_own_stops_no_trial_within_the_warmup(tmp_path: Path) -> None:
    asked = overrides("study.sampler=random", "study.pruner=mysearch.Worst")
    with toys.session(tmp_path / "a", *asked, "optimizer.warmup_steps=0") as session:
        assert all(isinstance(record.outcome, Pruned) and len(record.outcome.evals) == 1 for record in search(session))
    with toys.session(tmp_path / "b", *asked, "optimizer.warmup_steps=0.5") as session:
        assert all(isinstance(record.outcome, Pruned) and len(record.outcome.evals) == 2 for record in search(session))


@pytest.mark.parametrize(
    ("asked", "path", "says"),
    [
        (["study.sampler=mysearch.Fixd"], "study.sampler", "has no Fixd (did you mean Fixed?)"),
        (["study.sampler=nomodule.Fixed"], "study.sampler", "names nomodule, and there is no such module in"),
        (["study.sampler=mysearch.sub.Fixed"], "study.sampler", "names mysearch.sub"),
        (["study.sampler=broken.Fixed"], "study.sampler", "No module named 'nowhere_at_all' (broken.py, line 1)"),
        (["study.sampler=failing.Fixed"], "study.sampler", "SystemExit: no (failing.py, line 2)"),
        (["study.sampler=mysearch.number"], "study.sampler", "gives int, but must give an optuna.samplers.BaseSampler"),
        (["study.sampler=mysearch.Worst"], "study.sampler", "gives Worst, but must give an optuna.samplers.BaseSampler"),
        (["study.sampler=mysearch.constant"], "study.sampler", "which is 3, but must be a class or a function"),
        (["study.sampler=mysearch.Fixed", "+study.sampler_options.shar=1"], "study.sampler_options.shar",
         "is no argument of mysearch.Fixed (did you mean share?); there are: share"),
        (["study.sampler=mysearch.tpe"], "study.sampler_options", "missing a required argument: 'startup'"),
        (["study.sampler=mysearch.Fixed", "+study.sampler_options.seed=1"], "study.sampler_options.seed", "from study.seed"),
        (["study.sampler=mysearch.tpe", "+study.sampler_options.startup=a"], "study.sampler", "raised TypeError"),
        (["study.sampler=mysearch.Outside"], "study.sampler", "which gave 0.006 for optimizer.learning_rate"),
        (["study.sampler=mysearch.Fixed", "+study.sampler_options.share=a"], "study.sampler", "mysearch.py, line"),
        (["study.pruner=mysearch.Breaking"], "study.pruner", "in prune raised ZeroDivisionError: division by zero (mysearch.py"),
        (["study.pruner=mysearch.Fixed"], "study.pruner", "gives Fixed, but must give an optuna.pruners.BasePruner"),
        (["study.sampler=my-search"], "study.sampler", "or the dotted path of your own, such as mypackage.MyClass"),
    ],
)  # fmt: skip
def test_faults_of_own_code_are_one_message(asked: list[str], path: str, says: str) -> None:
    found, message = fault(*asked)
    assert found == path
    assert says in message


def test_an_error_of_own_code_in_a_study_is_reported_and_nothing_is_lost(tmp_path: Path) -> None:
    asked = overrides("study.sampler=mysearch.Late", "study.pruner=none")
    with toys.session(tmp_path, *asked) as session:
        with pytest.raises(
            UserError, match=r"mysearch.Late, which in sample_independent raised KeyError: 'third' \(mysearch.py"
        ):
            search(session)
        assert len(session.store.trials()) == 2
    (tmp_path / "mysearch.py").write_text(MODULE.replace("> 2", "> 9"))
    sys.modules.pop("mysearch")
    with toys.session(tmp_path, *asked) as session:
        assert [record.number for record in search(session)] == [0, 1, 2]


def test_the_program_ends_with_2_and_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["+experiment=quickstart", "tracker=none", f"run_dir={tmp_path / 'run'}"]
    assert run(monkeypatch, *asked, *overrides("study.sampler=mysearch.Fixd")) == 2
    said = capsys.readouterr().err
    assert "sweep: 1 thing to mend" in said and "(from the command line)" in said and "Traceback" not in said


def test_a_record_says_which_code_it_was(tmp_path: Path) -> None:
    before = code_state("mysearch.Fixed")
    assert before.startswith("sha256 ")
    (tmp_path / "mysearch.py").write_text(MODULE + "\n")
    assert code_state("mysearch.Fixed") == before  # the code that runs is that of the import
    sys.modules.pop("mysearch")
    assert code_state("mysearch.Fixed") != before
    assert code_state("optuna.samplers.RandomSampler").startswith("optuna ")
    study = toys.plan(tmp_path, *overrides(*SPACE)).config
    assert list(_own_code(study)) == ["mysearch.Fixed"]
    with pytest.raises(OwnCodeError):
        load("mysearch.Nothing")


def test_sweeps_own_names_are_no_paths(tmp_path: Path) -> None:
    assert not list(option_faults(toys.plan(tmp_path, "study.sampler=gp").config.study))


def test_the_line_that_is_reported_is_of_the_users_code_where_sweep_itself_raises_the_error(tmp_path: Path) -> None:
    code = "from sweep.search.racing import RacingPruner\n\ndef make():\n    return RacingPruner(min_resource=0)\n"
    (tmp_path / "racing_of_mine.py").write_text(code)
    with pytest.raises(ValueError) as caught:
        load("racing_of_mine.make")()
    message = "ValueError: min_resource is 0, but must be at least 1 (racing_of_mine.py, line 4)"
    assert described(caught.value) == message


def test_a_syntax_error_names_its_line_and_none_of_python_s_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wrong_syntax.py").write_text("x = 1\ndef f(:\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(OwnCodeError) as caught:
        load("wrong_syntax.f")
    assert str(caught.value).endswith("SyntaxError: invalid syntax (wrong_syntax.py, line 2)")
