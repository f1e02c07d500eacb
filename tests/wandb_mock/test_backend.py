"""The backend by itself: chunks that repeat or go missing, what is kept, and what is unknown."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from wandb_mock import MockServer
from wandb_mock.__main__ import main
from wandb_mock.backend import Backend
from wandb_mock.records import Run

KEY = ("mock", "p", "r")


def _chunk(offset: int, *losses: float, **more: Any) -> dict[str, Any]:
    lines = [json.dumps({"_step": offset + at, "loss": loss}) for at, loss in enumerate(losses)]
    return {"files": {"wandb-history.jsonl": {"offset": offset, "content": lines}}, **more}


def _losses(backend: Backend) -> list[float]:
    return [row["loss"] for row in backend.runs[KEY].history]


def _post(url: str, body: Any, **headers: str) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, headers)) as answer:
        return json.load(answer)


def test_a_chunk_again_changes_nothing(tmp_path: Path) -> None:
    backend = Backend(tmp_path)
    for message in (_chunk(0, 5, 4), _chunk(2, 3), _chunk(0, 5, 4), _chunk(1, 4, 3), _chunk(3, 2)):
        backend.stream(KEY, message)
    assert _losses(backend) == [5, 4, 3, 2]
    assert _losses(Backend.open(tmp_path)) == [5, 4, 3, 2]


def test_a_chunk_that_comes_late_finds_its_place(tmp_path: Path) -> None:
    backend = Backend(tmp_path)
    backend.stream(KEY, _chunk(0, 5))
    backend.stream(KEY, _chunk(3, 2))
    assert _losses(backend) == [5, 2]
    assert backend.runs[KEY].stream("wandb-history.jsonl").gaps == 2
    backend.stream(KEY, _chunk(1, 4, 3))
    assert _losses(backend) == [5, 4, 3, 2]
    assert _losses(Backend.open(tmp_path)) == [5, 4, 3, 2]


def test_a_run_started_anew_stays_so_on_disk(tmp_path: Path) -> None:
    backend = Backend(tmp_path)
    backend.stream(KEY, _chunk(0, 5, 4, 3))
    backend.start_anew(backend.runs[KEY])
    backend.stream(KEY, _chunk(0, 9))
    assert _losses(backend) == _losses(Backend.open(tmp_path)) == [9]


def test_a_kept_folder_is_opened_again(tmp_path: Path) -> None:
    backend = Backend(tmp_path)
    run, _ = backend.ensure_run("mock", "p", "r")
    backend.update_run(run, {"tags": ["a"], "group": "g", "raw_config": {"lr": {"value": 1}}, "notes": None})
    backend.stream(KEY, _chunk(0, 5, complete=True, exitcode=3))
    backend.count_unknown("Odd")
    opened = Backend.open(tmp_path)
    kept = opened.runs[KEY]
    assert (kept.tags, kept.group, kept.config, kept.state, kept.exit_code) == (
        ["a"],
        "g",
        {"lr": 1},
        "failed",
        3,
    )
    assert opened.unknown_operations == {"Odd": 1}
    assert Backend(tmp_path).runs[KEY] == run


def test_half_a_line_is_no_line(tmp_path: Path) -> None:
    backend = Backend(tmp_path)
    backend.stream(KEY, _chunk(0, 5, 4))
    (journal,) = tmp_path.rglob("wandb-history.jsonl")
    journal.write_text(journal.read_text()[:-5])
    assert _losses(Backend.open(tmp_path)) == [5]


def test_there_must_be_a_folder_to_open(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Backend.open(tmp_path / "absent")


@pytest.mark.parametrize("name", ["..", ".", "a/../../b", "ü ?#%"])
def test_any_name_is_one_folder(tmp_path: Path, name: str) -> None:
    around = tmp_path / "around"
    backend = Backend(around / "kept")
    backend.stream((name, name, name), _chunk(0, 5))
    assert [path.name for path in around.iterdir()] == ["kept"]
    assert list(Backend.open(around / "kept").runs) == [(name, name, name)]


def test_a_run_that_fell_silent_has_crashed() -> None:
    run = Run(*KEY, number=1)
    assert run.state == "running"
    run.heartbeat_at = "2020-01-01T00:00:00.000000Z"
    assert run.state == "crashed"


def test_an_unknown_operation_is_an_error_and_counted(server: MockServer) -> None:
    for _ in range(2):
        answer = _post(f"{server.url}/graphql", {"query": "query Fancy($x: ID) { fancy(x: $x) }"})
        assert "Fancy" in answer["errors"][0]["message"]
    assert server.backend.unknown_operations == {"Fancy": 2}
    assert Backend.open(server.backend.disk.folder).unknown_operations == {"Fancy": 2}
    assert "Fancy" in _get(server.url)


def test_queries_of_other_client_versions(server: MockServer) -> None:
    server.backend.stream(KEY, _chunk(0, 5))
    stop = _ask(server, "RunStopStatus", entityName="mock", project="p", name="r")
    assert stop["project"]["run"]["shouldStop"] is False
    assert _ask(server, "OrganizationCoreWeaveOrganizationID", entityName="mock")["entity"]
    created = _ask(server, "CreateArtifact", input=_ARTIFACT)["createArtifact"]["artifact"]
    assert _ask(server, "ClientIDMapping", clientID="c1") == {"clientIDMapping": {"serverID": created["id"]}}
    assert _ask(server, "ClientIDMapping", clientID="c2") == {"clientIDMapping": None}
    made = _ask(server, "CreateArtifactManifest", artifactID=created["id"])
    manifest = made["createArtifactManifest"]["artifactManifest"]
    updated = _ask(server, "UpdateArtifactManifest", artifactManifestID=manifest["id"])
    assert updated["updateArtifactManifest"]["artifactManifest"] == manifest


_ARTIFACT = {
    "projectName": "p",
    "artifactTypeName": "model",
    "artifactCollectionNames": ["adapter"],
    "digest": "d",
    "clientID": "c1",
}


def _ask(server: MockServer, operation: str, **variables: Any) -> Any:
    request = {"query": "", "operationName": operation, "variables": variables}
    return _post(f"{server.url}/graphql", request)["data"]


def test_a_body_may_be_compressed(server: MockServer) -> None:
    body = gzip.compress(json.dumps(_chunk(0, 5)).encode())
    _post(f"{server.url}/files/mock/p/r/file_stream", body, **{"Content-Encoding": "gzip"})
    assert _losses(server.backend) == [5]


def _get(url: str) -> str:
    with urllib.request.urlopen(url) as answer:
        return str(answer.read().decode())


def test_a_kept_folder_is_served(tmp_path: Path) -> None:
    Backend(tmp_path).stream(KEY, _chunk(0, 5))
    command = [sys.executable, "-m", "wandb_mock", str(tmp_path)]
    source = str(Path(__file__).parents[2] / "src")
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": source},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores Ctrl-C
    ) as process:
        assert process.stdout
        url = process.stdout.readline().split()[0]
        exports = [process.stdout.readline(), process.stdout.readline()]
        page = _get(url)
        process.send_signal(signal.SIGINT)
        assert process.wait(5) == 0
    assert exports[0] == f"export WANDB_BASE_URL={url}\n"
    assert len(exports[1].rstrip().rpartition("=")[2]) == 40
    assert "mock/p" in page


def test_a_port_that_is_taken_is_said_and_ends_with_code_2(
    server: MockServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    port = server.url.rpartition(":")[2]
    monkeypatch.setattr(sys, "argv", ["wandb_mock", str(tmp_path / "other"), "--port", port])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2 and f"on port {port}: Address already in use" in capsys.readouterr().err


def test_the_package_does_without_the_client() -> None:
    script = "import sys, wandb_mock.__main__; print({'wandb', 'torch', 'transformers'} & set(sys.modules))"
    source = str(Path(__file__).parents[2] / "src")
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": source},
    )
    assert done.stdout.strip() == "set()", done.stderr
