"""The server: an HTTP server on 127.0.0.1 in a thread of this process."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from wandb_mock.backend import Backend
from wandb_mock.faults import Faults
from wandb_mock.handler import HttpServer

# The client wants forty characters. The server takes every key and looks at none, so that this
# one need not be a secret.
API_KEY = "0badc0de" * 5


class MockServer:
    """A mock W&B server that answers from the moment it is made until `close`.

    A client reaches it by `url` and `api_key`. `backend` has what has arrived; `faults` takes the
    failures that a test orders. Raises OSError where the folder cannot be written or the port is
    taken; port 0 takes a free one.
    """

    def __init__(self, folder: Path | str, *, port: int = 0) -> None:
        self.backend = Backend(folder)
        self.faults = Faults()
        self.api_key = API_KEY
        self._http = HttpServer(("127.0.0.1", port), self.backend, self.faults)
        self.url = self._http.url
        # `close` waits for one poll interval at most, in seconds.
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening. A request on an open connection gets no answer from then on."""
        self._http.shutdown()
        self._http.closed = True
        self._http.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
