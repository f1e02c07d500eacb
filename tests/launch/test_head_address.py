"""Addresses where something else than the head of a Ray cluster listens."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread

import pytest

from sweep.config.schema import Config
from sweep.errors import UserError
from sweep.launch.head_address import check_head, head_faults
from sweep.launch.ray_cluster import _why, not_joined

SETTINGS = bytes((0, 0, 6, 4, 0, 0, 0, 0, 0)) + bytes(6)
HTTP = b"HTTP/1.1 400 Bad Request\r\n\r\n"


@contextmanager
def server(answer: bytes) -> Iterator[str]:
    """The address of a server that says this to its first client, and no more."""
    with socket.create_server(("127.0.0.2", 0)) as listening:

        def talk() -> None:
            client, _ = listening.accept()
            with client, suppress(OSError):  # the other side may close first
                client.sendall(answer[:4])
                client.sendall(answer[4:])
                client.recv(100)
                client.recv(100)  # until the client has gone

        thread = Thread(target=talk, daemon=True)
        thread.start()
        host, port = listening.getsockname()
        yield f"{host}:{port}"
        thread.join(10)  # else it might accept a client where the socket is closed


def test_a_server_of_grpc_is_taken_for_a_head() -> None:
    with server(SETTINGS) as address:
        check_head(address)


@pytest.mark.parametrize("answer", [HTTP, b"SSH-2.0\r\n", b""])
def test_other_servers_and_silent_ones_are_no_head(answer: bytes) -> None:
    with server(answer) as address, pytest.raises(UserError, match=f"is {address}, but what listens there is no head"):
        check_head(address, seconds=0.1)


def test_a_plan_tells_of_it_before_torch_is_imported() -> None:
    with server(HTTP) as address:
        given = Config.model_validate({"launcher": {"name": "ray", "address": address}})
        (fault,) = head_faults(given)
    assert fault.path == "launcher.address" and "no head of a Ray cluster" in fault.message
    assert head_faults(Config()) == []


def test_a_cluster_with_encryption_is_left_to_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_USE_TLS", "1")
    with server(b"") as address:
        check_head(address, seconds=0.1)


@pytest.mark.parametrize("host", ["nowhere.invalid", "a..b"])
def test_a_name_that_nobody_knows_is_told(host: str) -> None:
    rule = f"is {host}:6379, but nothing answers there: .*ray start --head --port=6379"
    with pytest.raises(UserError, match=rule):
        check_head(f"{host}:6379")


def _failed(cause: str) -> Exception:
    """As Ray raises it where its own reason is only the cause."""
    error = ConnectionError("Failed to connect to Ray cluster at 127.0.0.2:6379")
    error.__cause__ = RuntimeError(cause)
    return error


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RuntimeError("Version mismatch: The cluster was started with:\n    Ray: 2.59.0\n"), "other versions of Ray or Python"),
        (_failed("No node info found matching '127.0.0.9'"), "start one without workers: ray start --address=127.0.0.2:6379"),
        (_failed("Failed to connect to GCS. Last connection error: Traceback"), "no head of a Ray cluster"),
        (_failed("Failed to connect to GCS: ensure that the token is available (~/.ray/auth_token)"), "set RAY_AUTH_MODE=token"),
        (RuntimeError("another\nreason"), "which cannot be joined: another reason"),
    ],
)  # fmt: skip
def test_it_is_told_why_a_cluster_cannot_be_joined(error: Exception, told: str) -> None:
    assert told in _why(error, "127.0.0.2:6379")


def test_an_address_of_this_machine_that_no_node_has_is_told() -> None:
    error = _failed("No node info found matching attributes: '127.0.0.9' when trying to resolve node to connect to.")
    assert str(not_joined(error, "127.0.0.2:6379", "127.0.0.9")).startswith(
        "launcher.node_ip_address: is 127.0.0.9, but no node of the cluster at 127.0.0.2:6379 on this machine has that"
    )
    assert str(not_joined(error, "127.0.0.2:6379", None)).startswith(
        "launcher.address: is 127.0.0.2:6379, but no Ray node"
    )
