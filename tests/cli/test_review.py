from __future__ import annotations

from pathlib import Path

import pytest
import wandb_workspaces.reports.v2 as wr

from report.conftest import build, config, final, six_trials
from sweep.cli.review import main
from sweep.config.schema import TrackerConfig
from sweep.records.store import Store
from sweep.track.mock_settings import FOLDER
from sweep.track.review import process
from sweep.track.review.content import Written
from sweep.track.review.process import written
from wandb_mock import MockServer


@pytest.fixture(autouse=True)
def no_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_PROJECT", "WANDB_ENTITY", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def store_of(root: Path, **tracker: object) -> Store:
    trials = six_trials()
    settings = config().model_copy(update={"tracker": TrackerConfig.model_validate(tracker)})
    return build(root, trials, settings=settings, ending=final(trials[1]))


def refusal(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stop:
        main(argv)
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_another_tracker_is_refused(tmp_path, capsys):
    said = refusal([str(store_of(tmp_path / "run", name="mlflow", target="a.B").root)], capsys)
    assert "whose tracker is mlflow, but a review is written to W&B alone; search with tracker=wandb" in said


def test_without_the_extra_a_line_says_what_to_install(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sweep.cli.review.installed", lambda: False)
    assert "pip install 'sweep[review]'" in refusal([str(store_of(tmp_path / "run").root)], capsys)


def test_without_an_account_a_line_says_how_to_log_in(tmp_path, capsys):
    said = refusal([str(store_of(tmp_path / "run", name="wandb").root)], capsys)
    assert "there is no key" in said and "run `wandb login`" in said


def test_a_folder_that_is_no_run_directory_is_refused(tmp_path, capsys):
    assert "is no folder" in refusal([str(tmp_path / "nothing")], capsys)


def test_a_study_of_the_mock_server_that_still_runs_is_refused(tmp_path, capsys):
    store = store_of(tmp_path / "run", name="mock")
    with store.held():
        assert "is in use by another sweep process" in refusal([str(store.root)], capsys)


def test_the_time_limit_is_checked(tmp_path, capsys):
    assert "must be a number from 1 to 86400" in refusal([str(tmp_path), "--timeout", "0"], capsys)


@pytest.mark.slow
def test_a_review_of_the_mock_server_end_to_end(tmp_path, capsys, monkeypatch):
    """The process that writes it is started twice: without runs of the study, and with one."""
    import wandb

    store = store_of(tmp_path / "run", name="mock", project="intents")
    study = store.lock().config.study.study_name
    refused = refusal([str(store.root)], capsys)
    assert "finds nothing at" in refused and "wandb sync" not in refused, "the mock server has no offline runs"
    with MockServer(store.root / FOLDER) as server:
        settings = wandb.Settings(
            mode="online", base_url=server.url, api_key=server.api_key, x_disable_stats=True, console="off"
        )
        wandb.init(project="intents", group=study, job_type="trial", settings=settings).finish()
    main([str(store.root)])
    said = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert said.keys() == {"Workspace", "Report", "Sweep"}
    with MockServer(store.root / FOLDER) as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", server.api_key)
        (report,) = server.backend.views.of("mock", "intents", type="runs")
        read = wr.Report.from_url(f"{server.url}/mock/intents/reports/x--{report.id}")
        assert any("**Trial 1 won**" in block.text for block in read.blocks if isinstance(block, wr.MarkdownBlock))


def test_a_server_that_does_not_answer_in_time_is_a_fault(tmp_path):
    from sweep.report.review import review_of
    from sweep.track.credentials import Account
    from sweep.track.dashboard_ids import DashboardIds

    store = store_of(tmp_path / "run")
    found = review_of(store, TrackerConfig(project="p"), DashboardIds.of(store.root, "", TrackerConfig()))
    away = Account("http://127.0.0.1:9", "k" * 40)
    assert written(found, away, away.base_url, seconds=0.05).fault == "it took more than 0 s"


def test_a_stop_ends_a_review_at_once(tmp_path):
    from sweep.report.review import review_of
    from sweep.track.credentials import Account
    from sweep.track.dashboard_ids import DashboardIds
    from sweep.track.patience import NeverStopped

    store = store_of(tmp_path / "run")
    found = review_of(store, TrackerConfig(project="p"), DashboardIds.of(store.root, "", TrackerConfig()))
    away = Account("http://127.0.0.1:9", "k" * 40)
    stopped = NeverStopped(raised=True)
    assert written(found, away, away.base_url, seconds=60, stop=stopped).fault == "the command was stopped"


@pytest.mark.parametrize("output", [b"", b"no answer\n", b'{"addresses": 3}\n'])
def test_an_answer_that_cannot_be_read_is_a_fault(output):
    assert process._read(output, b"", 0) == Written(fault="the answer of the client cannot be read")
