"""`sweep review RUN_DIR`: a saved workspace and a report on W&B for a study, written anew each
time."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sweep.cli.arguments import decimal
from sweep.cli.run_dir import add_run_dir
from sweep.config.schema import TrackerConfig
from sweep.errors import UserError, reported
from sweep.records.store import Store
from sweep.records.winner import read_lock
from sweep.track.credentials import Account, read_client
from sweep.track.mock_settings import FOLDER
from sweep.track.mode import account_trouble
from sweep.track.review.content import Written
from sweep.track.review.process import MISSING, installed

SECONDS = 120


def main(argv: Sequence[str] | None = None) -> None:
    asked = _parser().parse_args(argv)
    with reported():
        store = Store(asked.run_dir)
        config = read_lock(store).config
        if not installed():
            raise UserError.of("sweep review", f"needs the extra review: {MISSING}")
        from sweep.report.review import lines, wandb_tracker, write_review

        tracker = wandb_tracker(config)
        if tracker is None:
            rule = f"is {store.root}, whose tracker is {config.tracker.name}, but a review is written to W&B alone"
            raise UserError.of("RUN_DIR", f"{rule}; search with tracker=wandb")
        with _server(store, tracker) as (account, base_url):
            found = write_review(store, tracker, account, base_url, seconds=asked.timeout)
        if found.fault:
            raise UserError.of("sweep review", _fault(found, base_url, store, tracker))
        print("\n".join(lines(found)))


@contextmanager
def _server(store: Store, tracker: TrackerConfig) -> Iterator[tuple[Account, str]]:
    """Yield an account and the address of its server: that of the mock server of the study, which
    runs meanwhile, or of the W&B client.

    Raises UserError where there is no account, or where the study of a mock server still runs.
    """
    if tracker.name == "mock":
        from sweep.track.mock_tracker import serving

        with store.held(), serving(store.root / FOLDER) as account:
            yield account, account.base_url
        return
    client = read_client()
    trouble = account_trouble(client)
    if client.account is None or trouble:
        raise UserError.of("sweep review", f"needs an account of W&B, but {trouble}; run `wandb login`")
    yield client.account, client.base_url


def _fault(found: Written, base_url: str, store: Store, tracker: TrackerConfig) -> str:
    where = base_url or "W&B"
    if not found.never_arrived:
        return f"failed at {where}: {found.fault}"
    folder = shlex.quote(str(store.root / "wandb"))
    upload = "" if tracker.name == "mock" else f"; upload it first: wandb sync {folder}/offline-run-*"
    return f"finds nothing at {where}: {found.fault}{upload}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sweep review",
        description="Write a workspace view and a report on W&B for a study, or renew them. Nothing is trained.",
    )
    add_run_dir(parser)
    parser.add_argument(
        "--timeout", type=decimal(1, 86_400), default=SECONDS, metavar="SECONDS",
        help="most seconds that the server may take (default %(default)s)",
    )  # fmt: skip
    return parser
