"""Requests that the server refuses: from elsewhere, too large or malformed. Everything else
remains visible."""

from __future__ import annotations

import gzip
import http.client
import json
from pathlib import Path

import pytest

from wandb_mock import MockServer
from wandb_mock.backend import Backend
from wandb_mock.intake import LARGEST

VIEWER = json.dumps({"query": "query Viewer { viewer { id } }", "variables": {}}).encode()


def ask(
    server: MockServer, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=10)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, named)
    answer = connection.getresponse()
    found = answer.status, dict(answer.headers), answer.read()
    connection.close()
    return found


def stream(server: MockServer, run: str, message: object, **headers: str) -> int:
    return ask(server, "POST", f"/files/mock/study/{run}/file_stream", json.dumps(message).encode(), **headers)[0]


def rows(*lines: object) -> dict[str, object]:
    content = [json.dumps(line) for line in lines]
    return {"files": {"wandb-history.jsonl": {"offset": 0, "content": content}}}


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example", "["]
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_a_name_that_was_made_to_lead_here_is_refused(server: MockServer, host: str, method: str) -> None:
    assert ask(server, method, "/graphql", VIEWER, Host=host)[0] == 403


@pytest.mark.parametrize("host", ["localhost:9999", "127.0.0.1", "[::1]:8080"])
def test_a_tunnel_may_have_a_port_of_its_own(server: MockServer, host: str) -> None:
    assert ask(server, "GET", "/", Host=host)[0] == 200


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec_Fetch_Site": "cross-site"}]
)
def test_a_page_of_another_origin_writes_nothing(server: MockServer, headers: dict[str, str]) -> None:
    assert ask(server, "POST", "/graphql", VIEWER, **headers)[0] == 403
    assert stream(server, "forged", rows({"x": 1}), **headers) == 403
    assert ask(server, "PUT", "/storage/runs/mock/study/forged/x.html", b"<script>", **headers)[0] == 403
    assert not server.backend.runs and not list(server.backend.disk.folder.glob("runs/**/*.html"))
    assert ask(server, "POST", "/graphql", VIEWER, Origin=server.url)[0] == 200
    assert ask(server, "GET", "/", None, **headers)[0] == 200


def test_an_upload_is_a_download_and_no_page(server: MockServer) -> None:
    assert ask(server, "PUT", "/storage/runs/mock/study/a/x.html", b"<script>alert(1)</script>")[0] == 200
    status, headers, body = ask(server, "GET", "/storage/runs/mock/study/a/x.html")
    assert (status, body) == (200, b"<script>alert(1)</script>")
    assert headers["Content-Type"] == "application/octet-stream"
    assert (headers["Content-Disposition"], headers["X-Content-Type-Options"]) == ("attachment", "nosniff")
    assert "default-src 'none'" in ask(server, "GET", "/")[1]["Content-Security-Policy"]


def test_a_message_that_unpacks_without_end_is_refused(server: MockServer) -> None:
    bomb = gzip.compress(b"[" + b" " * (LARGEST + 1) + b"]")
    assert len(bomb) < 100_000
    assert ask(server, "POST", "/graphql", bomb, Content_Encoding="gzip")[0] == 413
    assert ask(server, "POST", "/graphql", gzip.compress(VIEWER), Content_Encoding="gzip")[0] == 200
    assert ask(server, "POST", "/graphql", gzip.compress(VIEWER)[:-9], Content_Encoding="gzip")[0] == 400


@pytest.mark.parametrize("length", [str(LARGEST + 1), "9" * 5000, "-1", "many"])
def test_a_length_that_is_none_is_refused(server: MockServer, length: str) -> None:
    assert ask(server, "POST", "/graphql", b"", Content_Length=length)[0] in (400, 413)


@pytest.mark.parametrize(
    "message",
    [
        rows([1, 2]), rows("text"), rows(None), {"files": [1]}, {"files": {"wandb-summary.json": {"content": ["[]"]}}},
        {"files": {"wandb-history.jsonl": {"content": ["{"]}}}, {"files": {"wandb-history.jsonl": {"content": 5}}},
        {"files": {"a.jsonl": 3}}, {"complete": True, "exitcode": "x"},
        {"files": {"a.jsonl": {"offset": "x", "content": ["{}"]}}},
    ],
)  # fmt: skip
def test_a_malformed_stream_changes_nothing(server: MockServer, message: object) -> None:
    assert stream(server, "good", rows({"loss": 1.0})) == 200
    assert stream(server, "good", message) == 400
    assert server.backend.runs["mock", "study", "good"].history == [{"loss": 1.0}]
    assert ask(server, "GET", "/mock/study/runs/good")[0] == 200


@pytest.mark.parametrize(
    "given",
    [{"config": "[]"}, {"config": "{"}, {"tags": "abc"}, {"tags": [1]}, {"summaryMetrics": "3"}, {"displayName": 7}],
)
def test_a_malformed_run_is_an_error_and_the_pages_stay(server: MockServer, given: dict[str, object]) -> None:
    assert stream(server, "good", rows({"loss": 1.0})) == 200
    query = {"query": "mutation UpsertBucket { x }", "variables": {"name": "bad", "project": "study", **given}}
    status, _, body = ask(server, "POST", "/graphql", json.dumps(query).encode())
    assert status == 200 and json.loads(body)["errors"]
    assert all(ask(server, "GET", path)[0] == 200 for path in ("/", "/mock/study", "/mock/study/runs/good"))


def test_values_that_no_chart_or_encoding_holds_are_shown_as_they_are(server: MockServer) -> None:
    odd = {"_step": "x", "big": 10**400, "text": "\ud800", "nested": {"a": [1]}, "none": None, "nan": float("nan")}
    assert stream(server, "odd", rows(odd, {"_step": 1, "big": 1})) == 200
    assert all(ask(server, "GET", path)[0] == 200 for path in ("/", "/mock/study/runs/odd"))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"entity": "mock"}', '{"entity": 1, "project": "study", "id": "b", "number": 1}']
)
def test_a_record_that_cannot_be_read_is_left_out_and_named(server: MockServer, tmp_path: Path, text: str) -> None:
    assert stream(server, "good", rows({"loss": 1.0})) == 200
    server.close()
    folder = server.backend.disk.folder
    for path in (
        "runs/mock/study/bad/run.json",
        "artifacts/1/artifact.json",
        "sweeps/x.json",
        "unknown_operations.json",
    ):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    journal = folder / "runs/mock/study/good/streams/wandb-history.jsonl"
    journal.write_text(journal.read_text() + '[1]\n{"offset": "x", "line": {}}\n{"offset": 1, "line": 3}\n{"off')
    with MockServer(folder) as again:
        assert [run.id for run in again.backend.runs.values()] == ["good"]
        assert again.backend.runs["mock", "study", "good"].history == [{"loss": 1.0}]
        page = ask(again, "GET", "/")[2].decode()
    assert "runs/mock/study/bad/run.json" in page and "good" in page
    assert isinstance(Backend.open(folder), Backend)
