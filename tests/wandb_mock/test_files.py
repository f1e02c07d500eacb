"""Files and artifacts, there and back."""

from __future__ import annotations

import http.client
from pathlib import Path

import wandb

from wandb_mock import MockServer
from wandb_mock.backend import Backend

from .conftest import Start, api_of


def _artifact(path: Path, name: str = "adapter") -> wandb.Artifact:
    artifact = wandb.Artifact(name, type="model", metadata={"r": 8})
    artifact.add_file(str(path), name="weights/adapter.bin")
    return artifact


def test_a_saved_file(server: MockServer, start: Start, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "report.md").write_text("# a report")
    run = start(id="saves")
    run.save(str(tmp_path / "sub" / "report.md"), base_path=str(tmp_path), policy="now")
    run.finish()
    read = api_of(server).run("mock/study/saves")
    assert "sub/report.md" in [file.name for file in read.files()]
    with read.file("sub/report.md").download(str(tmp_path / "down")) as file:
        assert file.read() == "# a report"
    assert read.metadata["host"]


def test_an_artifact_is_logged_and_downloaded(server: MockServer, start: Start, tmp_path: Path) -> None:
    weights = tmp_path / "adapter.bin"
    weights.write_bytes(bytes(range(256)) * 5000)
    run = start(id="logs")
    run.log_artifact(_artifact(weights), aliases=["best"]).wait()
    run.finish()
    api = api_of(server)
    (logged,) = api.run("mock/study/logs").logged_artifacts()
    assert (logged.name, logged.type, logged.aliases) == ("adapter:v0", "model", ["best", "latest"])
    fetched = Path(api.artifact("mock/study/adapter:best").download(str(tmp_path / "down")))
    assert (fetched / "weights" / "adapter.bin").read_bytes() == weights.read_bytes()
    assert api.artifact("mock/study/adapter:latest").metadata == {"r": 8}
    assert api.artifact("mock/study/adapter:v0").logged_by().id == "logs"
    assert not api.artifact_exists("mock/study/adapter:v1")
    assert not server.backend.unknown_operations


def test_new_content_is_a_new_version_and_old_content_is_not(server: MockServer, start: Start, tmp_path: Path) -> None:
    weights = tmp_path / "adapter.bin"
    for text in ("one", "two", "two"):
        weights.write_text(text)
        run = start()
        run.log_artifact(_artifact(weights))
        run.finish()
    versions = server.backend.versions("mock", "study", "adapter")
    assert [(one.version, one.aliases) for one in versions] == [(0, []), (1, ["latest"])]
    assert len(versions[1].logged_by) == 2
    assert len(list(api_of(server).artifacts("model", "mock/study/adapter"))) == 2


def test_a_run_uses_an_artifact_of_another(server: MockServer, start: Start, tmp_path: Path) -> None:
    weights = tmp_path / "adapter.bin"
    weights.write_text("one")
    first = start(id="makes")
    first.log_artifact(_artifact(weights))
    first.finish()
    second = start(id="uses")
    fetched = Path(second.use_artifact("adapter:latest").download(str(tmp_path / "down")))
    second.finish()
    assert (fetched / "weights" / "adapter.bin").read_text() == "one"
    (used,) = api_of(server).run("mock/study/uses").used_artifacts()
    assert used.name == "adapter:v0"
    assert [run.id for run in used.used_by()] == ["uses"]


def test_a_version_made_from_the_one_before(server: MockServer, start: Start, tmp_path: Path) -> None:
    weights, notes = tmp_path / "adapter.bin", tmp_path / "notes.txt"
    weights.write_text("one")
    notes.write_text("more")
    run = start()
    run.log_artifact(_artifact(weights)).wait()
    draft = api_of(server).artifact("mock/study/adapter:latest").new_draft()
    draft.add_file(str(notes))
    run.log_artifact(draft).wait()
    run.finish()
    fetched = Path(api_of(server).artifact("mock/study/adapter:v1").download(str(tmp_path / "down")))
    assert (fetched / "weights" / "adapter.bin").read_text() == "one"
    assert (fetched / "notes.txt").read_text() == "more"
    assert not server.backend.unknown_operations


def test_artifacts_and_files_outlive_the_process(server: MockServer, start: Start, tmp_path: Path) -> None:
    weights = tmp_path / "adapter.bin"
    weights.write_text("one")
    run = start(id="logs")
    run.log_artifact(_artifact(weights))
    run.finish()
    server.close()
    opened = Backend.open(server.backend.disk.folder)
    (artifact,) = opened.artifacts.values()
    assert (artifact.name, artifact.logged_by) == ("adapter:v0", [("mock", "study", "logs")])
    assert opened.disk.artifact_file(artifact.number, "weights/adapter.bin").read_text() == "one"
    assert "config.yaml" in opened.run_files(opened.runs["mock", "study", "logs"])


def test_a_file_name_cannot_lead_out_of_the_folder(server: MockServer) -> None:
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"))
    connection.request("PUT", "/storage/runs/e/p/%2e%2e/..%2f..%2fout", body=b"x")
    assert connection.getresponse().status == 400
    assert not list(server.backend.disk.folder.rglob("out"))
