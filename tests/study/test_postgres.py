"""Studies in a PostgreSQL server that the tests start; skipped where there is no server or no
driver."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest
from sqlalchemy import Engine, event, make_url
from sqlalchemy.engine import Dialect

from support.postgres import Server
from support.program import run as program
from support.studies import Undisturbed
from support.tiny import tiny_bert
from support.toys import ToyEngine, session
from sweep.errors import UserError
from sweep.records.trial import TrialPlan, TrialRecord
from sweep.study import retries
from sweep.study.optuna_study import OptunaStudy
from sweep.study.search import search
from sweep.study.storage import check_storage

PLAIN = ("study.pruner=none", "study.n_trials=3", "study.sampler=random")
COMPARED = (
    "study.n_trials=6", "study.sampler=qmc", "study.space=adapters", "study.compare_by=adapter", "study.pruner=racing"
)  # fmt: skip


class Killed(BaseException):
    """An exception that no handler catches, like SIGKILL."""


def searched(folder: Path, *overrides: str, engine: ToyEngine | None = None) -> list[TrialRecord]:
    with session(folder, *overrides, engine=engine) as opened:
        return search(opened)


def outcomes(records: list[TrialRecord]) -> list[tuple[int, dict[str, Any], str]]:
    return [(record.number, dict(record.params), record.state) for record in records]


def trials(address: str, name: str) -> list[optuna.trial.FrozenTrial]:
    storage = optuna.storages.RDBStorage(address)
    try:
        return optuna.load_study(study_name=name, storage=storage).get_trials()
    finally:
        storage.engine.dispose()


def at(number: int, epoch: int, act: Callable[[], None]) -> ToyEngine:
    """Return an engine that acts before an epoch of a trial."""

    def before(trial: TrialPlan, now: int) -> None:
        if (trial.number, now) == (number, epoch):
            act()

    return ToyEngine(before=before)


@pytest.fixture(scope="module")
def database(postgres: Server) -> str:
    return postgres.database()


def test_a_study_goes_on_after_a_kill(tmp_path: Path, database: str) -> None:
    def kill() -> None:
        raise Killed

    points = {}
    for name, engine in (("whole", ToyEngine()), ("killed", at(1, 2, kill))):
        options = (*PLAIN, f"study.storage={database}", f"study.study_name={name}")
        with session(tmp_path / name, *options, engine=engine) as opened:
            if name == "killed":
                with pytest.raises(Killed):
                    search(opened)
        points[name] = [record.params for record in searched(tmp_path / name, *options) if record.state == "completed"]
    assert points["whole"] == points["killed"]
    assert len(points["whole"]) == 3


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_restart_of_the_server_between_two_uses_is_not_noticed(
    tmp_path: Path, undisturbed: Undisturbed, postgres: Server, mode: str
) -> None:
    options = (*PLAIN, f"study.storage={postgres.database()}")
    whole = undisturbed(*PLAIN).records
    records = searched(tmp_path / "disturbed", *options, engine=at(1, 2, lambda: postgres.restart(mode)))
    assert outcomes(records) == outcomes(whole)


def test_the_study_waits_for_a_server_that_is_away(
    tmp_path: Path, postgres: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    """The server is away when the score is reported."""
    back = threading.Timer(1.0, postgres.start)

    def away() -> None:
        postgres.stop()
        back.start()

    records = searched(tmp_path, *PLAIN, f"study.storage={postgres.database()}", engine=at(1, 2, away))
    back.join()
    assert [record.state for record in records] == ["completed"] * 3
    said = capsys.readouterr().err
    assert said.count("does not answer: connection failed") == said.count("the storage answers again") == 1


def test_a_study_that_goes_on_waits_for_a_server_that_is_away(
    tmp_path: Path, postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new study does not: its address may be wrong."""
    options = ("study.pruner=none", "study.sampler=random", f"study.storage={postgres.database()}")
    searched(tmp_path / "begun", *options, "study.n_trials=1")
    usual, waits = time.sleep, []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        monkeypatch.setattr(time, "sleep", usual)
        postgres.start()

    postgres.stop()
    monkeypatch.setattr(time, "sleep", wait)
    with pytest.raises(UserError, match="study.storage: is postgresql.* but cannot be used: connection failed"):
        searched(tmp_path / "new", *options, "study.n_trials=1")
    assert not waits
    records = searched(tmp_path / "begun", *options, "study.n_trials=2")
    assert waits and [record.state for record in records] == ["completed"] * 2


def test_a_server_that_never_comes_back_ends_the_study_with_everything_kept(
    tmp_path: Path, undisturbed: Undisturbed, postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "PATIENCE", 0.5)
    options = (*PLAIN, f"study.storage={postgres.database()}")
    whole = undisturbed(*PLAIN).records
    began = time.monotonic()
    try:
        with pytest.raises(
            UserError, match=r"study.storage: postgresql.* failed: connection failed.*goes on from there"
        ):
            searched(tmp_path / "cut", *options, engine=at(1, 2, postgres.stop))
    finally:
        postgres.start()
    assert time.monotonic() - began < 30  # waits once, not once for each running trial
    records = searched(tmp_path / "cut", *options)
    assert [one.params for one in records if one.state == "completed"] == [one.params for one in whole]


class Faults:
    """Disturbs the `at`-th statement or commit of the study, once, after `armed` is set."""

    def __init__(self, number: int, act: Callable[[], None]) -> None:
        self.left, self.act, self.armed = number, act, False

    def __call__(self, *_: Any) -> None:
        self.left -= self.armed
        if self.armed and self.left == 0:
            self.act()

    def arm(self, trial: TrialPlan, epoch: int) -> None:
        self.armed = self.armed or (trial.number, epoch) == (0, 1)

    @contextmanager
    def watching(self, what: str) -> Iterator[None]:
        event.listen(Engine, what, self)
        try:
            yield
        finally:
            event.remove(Engine, what, self)


def assert_undisturbed(records: list[TrialRecord], whole: list[TrialRecord], address: str, case: str) -> None:
    assert outcomes(records) == outcomes(whole), case
    told = trials(address, "quickstart")
    assert [(one.number, one.params, one.value) for one in told if one.state.is_finished()] == [
        (one.number, dict(one.params), one.best and one.best.metrics["eval/accuracy"]) for one in records
    ], case
    assert [one.number for one in told if not one.state.is_finished()] == [], case


def disturbed_everywhere(
    folder: Path, whole: list[TrialRecord], postgres: Server, options: tuple[str, ...], what: str, positions: list[int]
) -> None:
    """Cut the connection before each of these statements or commits, in a study of its own."""
    for position in positions:
        address = postgres.database()
        name = make_url(address).database
        cut = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        faults = Faults(position, lambda cut=cut: postgres.sql(cut))  # type: ignore[misc]
        with faults.watching(what):
            records = searched(
                folder / f"{what}{position}", *options, f"study.storage={address}", engine=ToyEngine(before=faults.arm)
            )
        assert faults.left <= 0, f"there are fewer than {position} of {what}"
        assert_undisturbed(records, whole, address, f"{what} {position}")


@pytest.mark.parametrize(("what", "last"), [("before_cursor_execute", 60), ("commit", 15)])
def test_a_lost_connection_changes_no_trial(
    tmp_path: Path, undisturbed: Undisturbed, postgres: Server, what: str, last: int
) -> None:
    disturbed_everywhere(
        tmp_path, undisturbed(*PLAIN).records, postgres, PLAIN, what, random.Random(1).sample(range(1, last), 2)
    )


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("what", "positions"), [("before_cursor_execute", range(1, 76, 3)), ("commit", range(1, 15))])
@pytest.mark.parametrize("options", [PLAIN, COMPARED], ids=["random", "compared"])
def test_a_connection_lost_at_any_moment_changes_no_trial(
    tmp_path: Path, undisturbed: Undisturbed, postgres: Server, options: tuple[str, ...], what: str, positions: range
) -> None:
    disturbed_everywhere(tmp_path, undisturbed(*options).records, postgres, options, what, list(positions))


class LostAnswers:
    """A network that loses the answer to the `number`-th commit, which was applied."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int, dialect: type[Dialect]) -> None:
        self.left, self.armed = number, False
        usual = dialect.do_commit

        def do_commit(own: Dialect, connection: Any) -> None:
            usual(own, connection)
            self.left -= self.armed
            if self.armed and self.left == 0:
                connection.dbapi_connection.close()
                import psycopg

                raise psycopg.OperationalError("server closed the connection unexpectedly")

        monkeypatch.setattr(dialect, "do_commit", do_commit)

    def arm(self, trial: TrialPlan, epoch: int) -> None:
        self.armed = self.armed or (trial.number, epoch) == (0, 1)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("number", [1, 8, pytest.param(None, marks=pytest.mark.slow)])
def test_a_commit_whose_answer_is_lost_is_not_done_twice(
    tmp_path: Path, undisturbed: Undisturbed, postgres: Server, monkeypatch: pytest.MonkeyPatch, number: int | None
) -> None:
    whole = undisturbed(*COMPARED).records
    for position in range(1, 16) if number is None else [number]:
        address = postgres.database()
        with monkeypatch.context() as patched:
            lost = LostAnswers(patched, position, make_url(address).get_dialect())
            records = searched(
                tmp_path / f"lost{position}", *COMPARED, f"study.storage={address}", engine=ToyEngine(before=lost.arm)
            )
            assert lost.left <= 0, f"there are fewer than {position} commits"
        assert_undisturbed(records, whole, address, f"commit {position}")


def test_two_run_directories_cannot_share_a_study(tmp_path: Path, database: str) -> None:
    options = (*PLAIN, f"study.storage={database}", "study.study_name=shared")
    with session(tmp_path / "a", *options) as first, session(tmp_path / "b", *options) as second:
        OptunaStudy.open(first.plan.config.study, first.plan.space, first.store).close()
        with pytest.raises(UserError, match="belongs to the run directory .*/a/run"):
            search(second)
        assert len(search(first)) == 3


_PROCESS = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parent.parent)!r})
from pathlib import Path
from support.toys import session
from sweep.errors import UserError
from sweep.study.search import search
with session(Path(sys.argv[1]), *sys.argv[3:]) as one:
    time.sleep(max(0.0, float(sys.argv[2]) - time.time()))
    try:
        print(len(search(one)), "trials")
    except UserError as error:
        print("refused", error)
"""


def both_at_once(folder: Path, first: tuple[str, ...], second: tuple[str, ...]) -> list[str]:
    """Return the last line of two processes, each of which starts a study at the same moment.
    Transformers writes lines before it."""
    start = str(time.time() + 20)
    running = [
        subprocess.Popen(
            [sys.executable, "-c", _PROCESS, str(folder / name), start, *PLAIN, *options],
            stdout=subprocess.PIPE,
            text=True,
        )
        for name, options in (("a", first), ("b", second))
    ]
    return [one.communicate(timeout=300)[0].splitlines()[-1] for one in running]


@pytest.mark.slow
def test_of_two_run_directories_that_begin_at_once_one_gets_the_study(tmp_path: Path, postgres: Server) -> None:
    options = (f"study.storage={postgres.database()}", "study.study_name=race")
    said = sorted(both_at_once(tmp_path, options, options))
    assert said[0] == "3 trials"
    assert said[1].startswith("refused study.storage")


@pytest.mark.slow
def test_two_studies_that_begin_at_once_share_an_empty_database(tmp_path: Path, postgres: Server) -> None:
    address = postgres.database()
    options = [(f"study.storage={address}", f"study.study_name={name}") for name in ("first", "second")]
    assert both_at_once(tmp_path, *options) == ["3 trials"] * 2
    assert [len(trials(address, name)) for name in ("first", "second")] == [3, 3]


def refusal(address: str, folder: Path | None = None) -> str:
    """Return the message for a storage: of the check before a study, or of a study."""
    with pytest.raises(UserError) as refused:
        check_storage(address) if folder is None else searched(folder, *PLAIN, f"study.storage={address}")
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_storage_that_cannot_be_used_is_one_message(tmp_path: Path, postgres: Server, database: str) -> None:
    searched(tmp_path / "made", *PLAIN, f"study.storage={database}", "study.study_name=made")
    name = make_url(database).database or ""
    postgres.sql("CREATE ROLE reader LOGIN", "CREATE ROLE guarded LOGIN PASSWORD 'right'")
    postgres.guard("guarded")
    assert 'database "none" does not exist' in refusal(postgres.address("none"))
    assert 'role "nobody" does not exist' in refusal(postgres.address(user="nobody"))
    wrong = refusal(postgres.address(user="guarded:wrong"))
    assert 'password authentication failed for user "guarded"' in wrong and "wrong" not in wrong
    assert "permission denied" in refusal(postgres.address(name, user="reader"), tmp_path / "reader")
    assert "permission denied" in refusal(postgres.address(user="reader"), tmp_path / "empty")
    assert "Connection refused" in refusal("postgresql+psycopg://sweep@127.0.0.1:1/x")
    postgres.sql("UPDATE alembic_version SET version_num = 'v2.6.0.a'", database=name)
    assert "optuna storage upgrade" in refusal(database, tmp_path / "old")


@pytest.mark.parametrize("scheme", ["postgresql+pg8000", "postgres"])
def test_a_missing_driver_is_named_with_its_package(scheme: str) -> None:
    assert "pip install 'sweep[postgresql]'" in refusal(f"{scheme}://sweep:secret@127.0.0.1/x")


@pytest.mark.parametrize(
    "address",
    [
        "postgresql+psycopg://sweep:{}@127.0.0.1:1/x",
        "postgresql+psycopg://sweep@127.0.0.1:1/x?password={}",
        "postgresql+psycopg://sweep@127.0.0.1:1/x?passwrd={}",
        "postgresql+psycopg://sweep:a@b:{}@127.0.0.1:1/x",
        "postgresql+psycopg://sweep:{}@127.0.0.1:port/x",
        "postgresql+psycopg://sweep:{}@/x?host=no host=b",
    ],
)
@pytest.mark.parametrize("password", ["hunter{2}", "hunter%2F2", "hunter2"])
def test_no_message_holds_a_password(address: str, password: str) -> None:
    said = refusal(address.format(password))
    assert "hunter" not in said


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_no_file_of_a_run_directory_and_no_line_holds_a_password(
    tmp_path: Path, postgres: Server, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """All that a study writes, its tracker's files among them, after a run with PGPASSWORD and
    after two that are refused: of another experiment, and with the password in its address."""
    password = "hunter2hunter2"
    postgres.sql(f"CREATE ROLE keeper SUPERUSER LOGIN PASSWORD '{password}'")
    postgres.guard("keeper")
    model, name = tiny_bert(tmp_path / "bert"), make_url(postgres.database()).database or ""
    monkeypatch.setenv("SWEEP_CACHE", str(tmp_path / "cache"))
    options = (
        "+experiment=quickstart", f"model.path={model}", f"run_dir={tmp_path / 'run'}", "tracker=mock",
        "dataset.max_train_samples=24", "dataset.max_eval_samples=16", "dataset.max_test_samples=16",
        "study.n_trials=2", "trainer.num_train_epochs=1",
    )  # fmt: skip
    monkeypatch.setenv("PGPASSWORD", password)
    storage = f"study.storage={postgres.address(name, user='keeper')}"
    assert program(monkeypatch, *options, storage) == 0
    assert program(monkeypatch, *options, storage, "dataset.max_train_samples=16") == 2
    held = postgres.address(name, user=f"keeper:{password}")
    assert program(monkeypatch, *options, f"study.storage={held}") == 2
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 50
    assert [path for path in files if password.encode() in path.read_bytes()] == []
    said = capfd.readouterr()
    assert password not in said.out + said.err and "keeper" in (tmp_path / "run" / "lock.json").read_text()
