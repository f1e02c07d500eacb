"""`sweep show RUN_DIR`: optuna-dashboard on a study, live, until Ctrl-C."""

from __future__ import annotations

import argparse
import errno
import socket
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from sweep.cli.arguments import whole
from sweep.cli.run_dir import add_run_dir
from sweep.config.secrets import MASK
from sweep.errors import UserError, reported, shortened
from sweep.records.store import Store
from sweep.records.winner import read_lock

if TYPE_CHECKING:
    from sweep.report.optuna_dashboard import ReportLabels
    from sweep.study.read_only_storage import ReadOnlyStorage

HOST, PORT = "127.0.0.1", 8080
_TRIED = 20  # ports from the default one on, where none is asked for


def main(argv: Sequence[str] | None = None) -> None:
    asked = _parser().parse_args(argv)
    with reported():
        store = Store(asked.run_dir)
        labels = _labels(store)
        storage = _storage(store, labels, asked.storage)
        server = _bound(store, storage, asked)
        address = _address(server)
        _serve(server, f"{address}/dashboard/studies/{storage.study_id}", f"{address}/report")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sweep show",
        description="Open optuna-dashboard on a study, while it runs or afterwards, with its report beside it. "
        "Nothing is written to the study. Ctrl-C ends it.",
    )
    add_run_dir(parser)
    parser.add_argument("--host", default=HOST, metavar="ADDRESS",
                        help="address to listen on (default %(default)s: this machine alone)")  # fmt: skip
    parser.add_argument("--port", type=whole(0, 65_535), metavar="NUMBER",
                        help=f"port to listen on (default {PORT}, or the next free one)")  # fmt: skip
    parser.add_argument("--storage", metavar="ADDRESS",
                        help="address of the study's storage in place of the one in lock.json. lock.json has no "
                        "password: PostgreSQL takes it from PGPASSWORD or a password file")  # fmt: skip
    return parser


def _labels(store: Store) -> ReportLabels:
    """Return the names of a study's trials. Raises UserError where there is no run directory, or
    the extra is missing."""
    read_lock(store)
    if find_spec("optuna_dashboard") is None:
        rule = "needs optuna-dashboard, which is not installed: pip install 'sweep[dashboard]'"
        raise UserError.of("sweep show", rule)
    from sweep.report.optuna_dashboard import ReportLabels

    return ReportLabels(store)


def _storage(store: Store, labels: ReportLabels, address: str | None) -> ReadOnlyStorage:
    """Return the study of a run directory, to be read. Raises UserError where it cannot be."""
    from sweep.study.read_only_storage import open_read_only
    from sweep.study.storage import own_address, own_file, without_mask

    config = read_lock(store).config
    known = address or config.study.storage
    if known is None and not own_file(store).exists():
        raise UserError.of(str(store.root), "has no study.db: its study has not begun, or its storage was deleted")
    place = own_address(store) if known is None else without_mask(known)
    try:
        return open_read_only(place, config.study.study_name, labels, in_use=store.in_use)
    except UserError as error:
        if address is None and known is not None and MASK in known:
            rule = "lock.json has no password: PostgreSQL takes it from PGPASSWORD or a password file"
            hint = f"{rule}; or give another address here"
            raise UserError([*error.faults, *UserError.of("--storage", hint).faults]) from None
        raise


class _Server(ThreadingMixIn, WSGIServer):
    """Answers several requests at once, since the dashboard computes some for seconds."""

    daemon_threads = True
    allow_reuse_address = True


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing for a request."""


def _bound(store: Store, storage: ReadOnlyStorage, asked: argparse.Namespace) -> WSGIServer:
    """Return a server that listens. Raises UserError where the port is in use or the address is
    not this machine's."""
    from sweep.report.optuna_dashboard import application

    _check_name(asked.host)
    answer, kind = application(storage, store), _Server6 if ":" in asked.host else _Server
    ports = range(PORT, PORT + _TRIED) if asked.port is None else [asked.port]
    for port in ports:
        try:
            return make_server(asked.host, port, answer, server_class=kind, handler_class=_Quiet)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise UserError.of(
                    "--host", f"is {asked.host}, which cannot be listened on: {error.strerror}"
                ) from None
            reason = error.strerror
    shown = f"is {asked.port}" if asked.port is not None else f"is not given, and {ports[0]} to {ports[-1]} were tried"
    raise UserError.of("--port", f"{shown}: {reason}; name another one, or 0 for any that is free")


def _check_name(host: str) -> None:
    """Raise UserError for a name that no host can have: Python refuses it by a TypeError, and
    takes an empty one for all addresses of the machine."""
    try:
        usable = bool(host.encode("idna"))
    except UnicodeError:
        usable = host.isascii() and bool(host)
    if not usable:
        rule = "is no name of a host; name an address of this machine, such as 127.0.0.1"
        raise UserError.of("--host", f"is {shortened(host, 60)!r}, which {rule}")


def _address(server: WSGIServer) -> str:
    """Return the address to type in a browser: one that listens on every address of the machine is
    reached by the machine's name."""
    host, port = str(server.server_address[0]), server.server_address[1]
    if host in ("0.0.0.0", "::"):
        host = socket.gethostname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _serve(server: WSGIServer, dashboard: str, report: str) -> None:
    """Answer requests until Ctrl-C or SIGTERM, which end the command without an error."""
    print(f"Dashboard  {dashboard}")
    print(f"Report     {report}")
    print("Ctrl-C ends it. Nothing is written to the study.", flush=True)
    host = str(server.server_address[0])
    if host != "::1" and not host.startswith("127."):
        print("note: whoever reaches this address can read the study", file=sys.stderr)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print()
    finally:
        server.server_close()
