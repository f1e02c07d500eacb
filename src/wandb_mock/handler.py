"""HTTP requests: GraphQL, `file_stream`, uploads, downloads and pages."""

from __future__ import annotations

import io
import json
import shutil
import socket
import sys
import tempfile
import time
import zlib
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from wandb_mock import graphql, page
from wandb_mock.addresses import stored
from wandb_mock.backend import Backend
from wandb_mock.faults import Fault, Faults, Kind
from wandb_mock.intake import LARGEST, TooLargeError, foreign, unpacked

_CHUNK = 1 << 20
_LONGEST_NUMBER = 18

# An uploaded file is always a download, never a page of this server.
_DOWNLOAD = {"Content-Disposition": "attachment"}
_PAGE = {"Content-Security-Policy": page.POLICY}


class HttpServer(ThreadingHTTPServer):
    """The listening socket, with what its connections share."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], backend: Backend, faults: Faults) -> None:
        super().__init__(address, Handler)
        self.backend = backend
        self.faults = faults
        self.url = f"http://127.0.0.1:{self.server_port}"
        # Connections outlive the listening socket: the threads that serve them look here.
        self.closed = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a client that goes away within a request."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """The requests of one connection, in its own thread."""

    protocol_version = "HTTP/1.1"
    # Head and body of an answer are two writes; unbuffered, the second waits until the first is
    # acknowledged.
    wbufsize = -1
    disable_nagle_algorithm = True
    server: HttpServer

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: the pages show what has arrived."""

    def parse_request(self) -> bool:
        """Refuse, before the body is read, requests that a web page may cause and no client
        sends: those to a name that was made to lead here (DNS rebinding), and those that a page
        of another origin makes."""
        if not super().parse_request():
            return False
        trouble = foreign(self.command, self.headers)
        if trouble:
            self.close_connection = True
            self._send_json(HTTPStatus.FORBIDDEN, {"error": trouble})
        return not trouble

    def do_GET(self) -> None:
        """Send a page or a file."""
        parts = self._parts()
        if fault := self._fault():
            self._fail(fault)
        elif parts[:1] == ["storage"]:
            self._send_file(stored(self.server.backend.disk, parts[1:]))
        elif found := page.render(self.server.backend, parts):
            self._send(HTTPStatus.OK, found.encode(errors="replace"), "text/html; charset=utf-8", _PAGE)
        else:
            self._send_json(HTTPStatus.NOT_FOUND, {"error": "not found"})

    def do_PUT(self) -> None:
        """Receive a file into a folder of its own, then move it to its place: half a file never
        gets there."""
        with tempfile.TemporaryDirectory(dir=self.server.backend.disk.incoming) as folder:
            arrived = Path(folder) / "body"
            with arrived.open("wb") as body:
                received = self._receive(body)
            self._keep(arrived if received else None)

    def do_POST(self) -> None:
        """Answer a GraphQL request or a `file_stream` message."""
        try:
            message = self._message()
        except TooLargeError:
            self._send_json(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {"error": f"a message has at most {LARGEST} bytes"})
            return
        if not self._is_known():
            # Whatever the body holds: the client sends telemetry to find out whether the server
            # takes it.
            self._send_json(HTTPStatus.NOT_FOUND, {"error": "not found"})
            return
        if message is None:
            self._send_json(HTTPStatus.BAD_REQUEST, {"error": "not a JSON object of a given length"})
            return
        fault = self._fault(graphql.operation_name(message) if "query" in message else "")
        if fault and not fault.applied:
            self._fail(fault)
            return
        status, answer = self._answer(message)
        if fault:
            self._fail(fault)
        else:
            self._send_json(status, answer)

    def _message(self) -> dict[str, Any] | None:
        if (self._length() or 0) > LARGEST:
            self.close_connection = True
            raise TooLargeError
        buffer = io.BytesIO()
        if not self._receive(buffer):
            return None
        body = buffer.getvalue()
        try:
            message = json.loads(unpacked(body) if self._is_gzip() else body)
        except (ValueError, RecursionError, zlib.error):
            return None
        return message if isinstance(message, dict) else None

    def _is_gzip(self) -> bool:
        return self.headers.get("Content-Encoding") == "gzip"

    def _is_known(self) -> bool:
        match self._parts():
            case ["graphql"] | ["files", _, _, _, "file_stream"]:
                return True
        return False

    def _answer(self, message: dict[str, Any]) -> tuple[HTTPStatus, dict[str, Any]]:
        match self._parts():
            case ["files", entity, project, run, _]:
                try:
                    self.server.backend.stream((entity, project, run), message)
                except (ValueError, TypeError, RecursionError) as error:
                    return HTTPStatus.BAD_REQUEST, {"error": str(error)}
                return HTTPStatus.OK, {"exitcode": None, "limits": {}}
        return HTTPStatus.OK, graphql.answer(self.server.backend, self.server.url, message)

    def _keep(self, arrived: Path | None) -> None:
        fault = self._fault()
        if fault and not fault.applied:
            self._fail(fault)
            return
        target = stored(self.server.backend.disk, self._parts()[1:])
        if arrived is None or target is None:
            self._send_json(HTTPStatus.BAD_REQUEST, {"error": "not a place to upload to"})
            return
        self.server.backend.place(arrived, target)
        if fault:
            self._fail(fault)
        else:
            self._send_json(HTTPStatus.OK, {})

    def _parts(self) -> list[str]:
        return [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/") if part]

    def _receive(self, target: IO[bytes]) -> bool:
        """Read the body into `target`. Return False where the request does not give its length."""
        left = self._length()
        if left is None:
            self.close_connection = True
            return False
        while left > 0:
            chunk = self.rfile.read(min(left, _CHUNK))
            if not chunk:
                raise ConnectionError("the client went away within a request")
            target.write(chunk)
            left -= len(chunk)
        return True

    def _length(self) -> int | None:
        given = self.headers.get("Content-Length", "")
        return int(given) if given.isascii() and given.isdigit() and len(given) <= _LONGEST_NUMBER else None

    # faults

    def _fault(self, operation: str = "") -> Fault | None:
        """Return the fault that a test has ordered for this request. A late answer is waited for
        here, and is no fault."""
        if self.server.closed:
            return Fault.drop()
        fault = self.server.faults.take(f"{self.command} {self.path} {operation}")
        if fault is None or fault.kind is not Kind.LATE:
            return fault
        time.sleep(fault.late_s)
        return None

    def _fail(self, fault: Fault) -> None:
        if fault.kind is Kind.DROP:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        extra = {"Retry-After": f"{fault.retry_after_s:g}"} if fault.kind is Kind.THROTTLE else {}
        self._send_json(HTTPStatus(fault.status), {"error": "ordered by a test"}, extra)

    # answers

    def _send_json(self, status: HTTPStatus, value: Any, extra: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(value).encode(), "application/json", extra)

    def _send(self, status: HTTPStatus, body: bytes, mime: str, extra: dict[str, str] | None = None) -> None:
        self._head(status, len(body), mime, extra)
        self.wfile.write(body)

    def _send_file(self, path: Path | None) -> None:
        if path is None or not path.is_file():
            self._send_json(HTTPStatus.NOT_FOUND, {"error": "not found"})
            return
        with path.open("rb") as file:
            self._head(HTTPStatus.OK, path.stat().st_size, "application/octet-stream", _DOWNLOAD)
            shutil.copyfileobj(file, self.wfile)

    def _head(self, status: HTTPStatus, length: int, mime: str, extra: dict[str, str] | None = None) -> None:
        self.send_response(status)
        head = {"Content-Type": mime, "Content-Length": str(length), "X-Content-Type-Options": "nosniff"}
        for name, value in {**head, **(extra or {})}.items():
            self.send_header(name, value)
        self.end_headers()
