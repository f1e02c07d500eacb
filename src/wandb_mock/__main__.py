"""`python -m wandb_mock FOLDER`: serve what a mock W&B server kept in a folder, and take more."""

from __future__ import annotations

import argparse
import sys
import threading
from contextlib import suppress
from pathlib import Path

from wandb_mock.server import MockServer


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m wandb_mock", description="Serve a mock W&B server on 127.0.0.1.")
    parser.add_argument("folder", type=Path, help="where the server keeps what it receives; made if absent")
    parser.add_argument("--port", type=_port, default=0, help="port on 127.0.0.1 (default: a free one)")
    given = parser.parse_args()
    if (inside := given.folder / "wandb-mock").is_dir():
        parser.error(f"{given.folder} is the run directory of a study; type python -m wandb_mock {inside}")
    try:
        server = MockServer(given.folder, port=given.port)
    except OSError as error:
        print(f"error: cannot serve {given.folder} on port {given.port}: {error.strerror or error}", file=sys.stderr)
        raise SystemExit(2) from None
    with suppress(KeyboardInterrupt), server:
        print(f"{server.url}  (Ctrl-C ends)")
        print(f"export WANDB_BASE_URL={server.url}")
        print(f"export WANDB_API_KEY={server.api_key}", flush=True)
        threading.Event().wait()


def _port(text: str) -> int:
    rule = f"is {text!r}, but must be a whole number from 0 to 65535"
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(rule) from None
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError(rule)
    return number


if __name__ == "__main__":
    main()
