"""`python -m wandb_mock FOLDER`: look at what a mock backend kept, and let it keep more."""

from __future__ import annotations

import argparse
import threading
from contextlib import suppress
from pathlib import Path

from wandb_mock.server import MockServer


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m wandb_mock", description="Serve a mock W&B backend.")
    parser.add_argument("folder", type=Path, help="where the backend keeps what it receives; made if absent")
    parser.add_argument("--port", type=int, default=0, help="port on loopback (default: a free one)")
    given = parser.parse_args()
    with suppress(KeyboardInterrupt), MockServer(given.folder, port=given.port) as server:
        print(f"{server.url}  (Ctrl-C ends)")
        print(f"export WANDB_BASE_URL={server.url}")
        print(f"export WANDB_API_KEY={server.api_key}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
