"""A model hub on this machine: as much of its HTTP interface as an upload needs."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

TOKEN = "hf_" + "t" * 34


@dataclass
class Hub:
    """The repositories by name, and whether each is private; their files; the messages of their
    commits; and the objects that were sent by themselves, by their hash."""

    address: str = ""
    private: dict[str, bool] = field(default_factory=dict)
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)

    def commit(self, name: str, lines: list[dict[str, Any]]) -> None:
        """Apply a commit, given as the lines of its body."""
        files = self.files[name]
        for line in lines:
            value = line["value"]
            match line["key"]:
                case "header":
                    self.messages.append(value["summary"])
                case "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    files[value["path"]] = self.objects[value["oid"]]
                case "deletedFile":
                    del files[value["path"]]


@contextmanager
def served() -> Iterator[Hub]:
    """Serve an empty hub on 127.0.0.1."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            name = self._repository()
            if name not in hub.files:
                return self._answer({"error": "Repository not found"}, 404, code="RepoNotFound")
            files = sorted(hub.files[name])
            if "/tree/" in self.path:
                return self._answer([{"type": "file", "path": file, "size": 1, "oid": "0" * 40} for file in files])
            return self._answer({"id": name, "sha": "0" * 40, "siblings": [{"rfilename": file} for file in files]})

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_PUT(self) -> None:
            hub.objects[self.path.rpartition("/")[2]] = self._body()
            self._answer({})

        def do_POST(self) -> None:
            body, path = self._body(), urlsplit(self.path).path
            if path == "/api/repos/create":
                asked = json.loads(body)
                return self._create(f"{asked['organization']}/{asked['name']}", asked)
            if path == "/api/validate-yaml":
                return self._answer({"errors": [], "warnings": []})
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                return self._answer({"error": "Invalid credentials"}, 401)
            if "/preupload/" in path:
                kinds = [
                    {
                        "path": one["path"],
                        "uploadMode": "lfs" if one["path"].endswith(".safetensors") else "regular",
                        "shouldIgnore": False,
                        "oid": None,
                    }
                    for one in json.loads(body)["files"]
                ]
                return self._answer({"files": kinds})
            if path.endswith("/info/lfs/objects/batch"):
                objects = [
                    {**one, "actions": {"upload": {"href": f"{hub.address}/objects/{one['oid']}", "header": {}}}}
                    for one in json.loads(body)["objects"]
                ]
                return self._answer({"transfer": "basic", "objects": objects}, kind="application/vnd.git-lfs+json")
            name = self._repository()
            hub.commit(name, [json.loads(line) for line in body.splitlines() if line])
            return self._answer({"success": True, "commitOid": "1" * 40, "commitUrl": f"{hub.address}/{name}/commit/1"})

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def _create(self, name: str, asked: dict[str, Any]) -> None:
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                return self._answer({"error": "Invalid username or password."}, 401)
            if name in hub.files:
                error = {"error": "You already created this model repo", "url": f"{hub.address}/{name}"}
                return self._answer(error, 409)
            hub.files[name], hub.private[name] = {".gitattributes": b""}, asked.get("visibility") == "private"
            return self._answer({"url": f"{hub.address}/{name}", "name": name, "id": name})

        def _repository(self) -> str:
            return "/".join(urlsplit(self.path).path.removeprefix("/api/models/").split("/")[:2])

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") == "chunked":
                parts = []
                while size := int(self.rfile.readline(), 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))

        def _answer(self, value: Any, status: int = 200, *, code: str = "", kind: str = "application/json") -> None:
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            if code:
                self.send_header("X-Error-Code", code)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

    return Handler
