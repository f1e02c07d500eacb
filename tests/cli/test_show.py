from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest

from report.conftest import build, config, final, six_trials
from sweep.cli import show
from sweep.errors import UserError
from sweep.records.cost import Cost
from sweep.records.store import Store
from sweep.records.trial import Pruned
from sweep.study.storage import open_storage, own_address


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    trials = six_trials()[:2]
    made = build(tmp_path_factory.mktemp("shown") / "run", trials, ending=final(trials[1]))
    storage = open_storage(own_address(made))
    study = optuna.create_study(study_name="toy", storage=storage, direction="maximize")
    for value in (0.6125, 0.8833):
        study.tell(study.ask(), value)
    study.ask().report(0.2, 1)
    made.write_pause(replace(trials[0], number=2, outcome=Pruned((), Cost()), pauses=1))
    storage.engine.dispose()
    (made.root / "report.html").write_text("<p>the report</p>")
    return made


def opened(store: Store, address: str | None = None) -> None:
    show._storage(store, show._labels(store), address)


@contextmanager
def shown(store: Store, port: int = 0) -> Iterator[str]:
    labels = show._labels(store)
    server = show._bound(store, show._storage(store, labels, None), Namespace(host="127.0.0.1", port=port))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def fetched(address: str) -> str:
    with urllib.request.urlopen(urllib.request.Request(address, headers={"Accept-Encoding": "identity"})) as answer:
        return str(answer.read().decode())


def test_the_dashboard_names_trials_as_the_report_does_and_links_to_it(store: Store) -> None:
    with shown(store) as address:
        found = json.loads(fetched(f"{address}/api/studies/1"))
        assert "<title>Optuna Dashboard</title>" in fetched(f"{address}/dashboard/studies/1")
    assert found["objective_names"] == ["eval/accuracy"]
    assert [trial["user_attrs"][0]["value"] for trial in found["trials"]] == [
        "trial 0", "trial 1 (winner)", "trial 2 (paused)",
    ]  # fmt: skip
    assert "(/report)" in found["note"]["body"]
    assert found["trials"][1]["note"]["body"].startswith(
        "**trial 1 (winner)**, completed. [In the report](/report#trial-1)"
    )


def test_the_report_is_beside_it_and_runs_nothing_from_elsewhere(store: Store) -> None:
    with shown(store) as address, urllib.request.urlopen(f"{address}/report") as answer:
        assert answer.read() == b"<p>the report</p>"
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")


@pytest.mark.parametrize(("method", "path"), [
    ("DELETE", "/api/studies/1"), ("PUT", "/api/studies/1/note"), ("POST", "/api/trials/1/tell"),
])  # fmt: skip
def test_what_the_dashboard_would_write_is_refused(store: Store, method: str, path: str) -> None:
    before = {path: path.read_bytes() for path in store.root.rglob("*") if path.is_file()}
    with shown(store) as address, pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(urllib.request.Request(f"{address}{path}", data=b"{}", method=method))
    assert caught.value.code == 403 and "only reads" in caught.value.read().decode()
    assert {path: path.read_bytes() for path in store.root.rglob("*") if path.is_file()} == before


def test_a_port_in_use_is_passed_over_unless_it_was_asked_for(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with shown(store) as first:
        taken = int(first.rpartition(":")[2])
        with pytest.raises(UserError, match=f"is {taken}: Address already in use"), shown(store, taken):
            pass
        monkeypatch.setattr("sweep.cli.show.PORT", taken)
        with shown(store, None) as second:  # type: ignore[arg-type]
            assert int(second.rpartition(":")[2]) > taken


def test_without_the_extra_it_says_what_to_install(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweep.cli.show.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'sweep\[dashboard\]'"):
        show._labels(store)


def test_a_study_that_has_not_begun(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no study\.db"):
        opened(build(tmp_path / "run"))


def test_a_password_is_asked_for_and_not_shown(tmp_path: Path) -> None:
    settings = config(storage="postgresql+psycopg://me:***@127.0.0.1:1/sweep")
    with pytest.raises(UserError) as caught:
        opened(build(tmp_path / "run", settings=settings))
    assert "--storage: lock.json has no password: PostgreSQL takes it from PGPASSWORD or a" in str(caught.value)
    with pytest.raises(UserError) as caught:
        opened(Store(tmp_path / "run"), "postgresql+psycopg://me:hidden-one@127.0.0.1:1/sweep")
    assert "hidden-one" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_without_an_error(store: Store, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "sweep", "show", str(store.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None and started.stderr is not None
        assert started.stdout.readline().startswith("Dashboard  http://127.0.0.1:")
        os.kill(started.pid, number)
        assert started.wait(60) == 0 and started.stderr.read() == ""


@pytest.mark.parametrize(
    ("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "box"), ("::", "box"), ("::1", "[::1]")]
)
def test_the_address_is_one_that_a_browser_can_open(host, shown, monkeypatch):
    monkeypatch.setattr("sweep.cli.show.socket.gethostname", lambda: "box")
    assert show._address(SimpleNamespace(server_address=(host, 8080))) == f"http://{shown}:8080"


def test_a_port_that_is_no_number_is_refused(store, capsys):
    with pytest.raises(SystemExit):
        show.main([str(store.root), "--port", "eighty"])
    assert "is 'eighty', but must be a whole number from 0 to 65535" in capsys.readouterr().err


@pytest.mark.parametrize("host", ["ä" * 70, "ä..b", ""])
def test_a_host_that_has_no_such_name_is_refused(store, host, capsys):
    with pytest.raises(SystemExit) as done:
        show.main([str(store.root), "--port", "0", "--host", host])
    assert done.value.code == 2
    assert "which is no name of a host" in capsys.readouterr().err
