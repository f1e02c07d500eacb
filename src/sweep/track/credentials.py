"""The address of the W&B server and the key for it, found as the client finds them but without
importing it."""

from __future__ import annotations

import configparser
import json
import netrc
import os
import re
import ssl
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

from sweep.config.folders import expanded

# The hosts of W&B's own service. A key in netrc may be under any of them.
_PUBLIC_HOSTS = ("api.forge.coreweave.com", "api.wandb.ai")

_JWT = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+")
_KEY_LENGTH = 40

_VIEWER = {"operationName": "Viewer", "query": "query Viewer { viewer { id } }", "variables": {}}


@dataclass(frozen=True, slots=True)
class Account:
    """An account of a W&B server. `base_url` is empty for W&B's own service.

    Without `api_key` the client signs in with an identity token.
    """

    base_url: str
    api_key: str | None = field(default=None, repr=False)
    source: str = ""

    @property
    def problem(self) -> str | None:
        """Return why the client would refuse the key without trying it; None if it would not.

        The key is not shown.
        """
        if self.api_key is None or _JWT.fullmatch(self.api_key):
            return None
        secret = self.api_key.split("-", 1)[-1]
        if len(secret) < _KEY_LENGTH:
            return f"the key in {self.source} has {len(secret)} characters, but a W&B key has {_KEY_LENGTH} or more"
        if not re.fullmatch(r"[\w-]+", secret):
            return f"the key in {self.source} holds characters that no W&B key has"
        return None


@dataclass(frozen=True, slots=True)
class Client:
    """The settings of the W&B client on this machine: the server, the account, and the mode if one
    is set."""

    base_url: str
    mode: str
    mode_source: str
    account: Account | None


def read_client(environment: Mapping[str, str] = os.environ) -> Client:
    """Return the settings of the W&B client, from the environment and its settings files."""
    settings = _settings(environment)
    base_url = (environment.get("WANDB_BASE_URL") or settings.get("base_url") or "").rstrip("/")
    if mode := environment.get("WANDB_MODE", ""):
        source = "WANDB_MODE"
    else:
        mode, source = settings.get("mode", ""), "the W&B settings file"
    return Client(base_url, mode, source, _account(base_url, environment, settings))


def _account(base_url: str, environment: Mapping[str, str], settings: Mapping[str, str]) -> Account | None:
    if key := environment.get("WANDB_API_KEY"):
        return Account(base_url, key, "WANDB_API_KEY")
    if environment.get("WANDB_IDENTITY_TOKEN_FILE"):
        return Account(base_url, None, "WANDB_IDENTITY_TOKEN_FILE")
    path = netrc_path(environment)
    if key := _netrc_key(path, base_url):
        return Account(base_url, key, str(path))
    if key := settings.get("api_key"):
        return Account(base_url, key, "the W&B settings file")
    return None


def netrc_path(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the path of the netrc file that the client reads."""
    if named := environment.get("NETRC"):
        return expanded(named)
    usual, windows = expanded("~/.netrc"), expanded("~/_netrc")
    return windows if windows.exists() and not usual.exists() else usual


def _netrc_key(path: Path, base_url: str) -> str | None:
    try:
        entries = netrc.netrc(path)
    except (OSError, netrc.NetrcParseError, UnicodeDecodeError):
        return None
    host = urlsplit(base_url).netloc
    hosts = (host,) if host and host not in _PUBLIC_HOSTS else _PUBLIC_HOSTS
    found = (entries.authenticators(host) for host in hosts)
    return next((entry[2] for entry in found if entry and entry[2]), None)


def _settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the values of the client's settings files.

    That of the working directory overrides that of the user.
    """
    folder = expanded(environment.get("WANDB_CONFIG_DIR") or "~/.config/wandb")
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read([folder / "settings", Path("wandb", "settings")])
    except (OSError, configparser.Error, UnicodeDecodeError):
        return {}
    return dict(parser["default"]) if parser.has_section("default") else {}


class Answer(StrEnum):
    """The state of a server that was asked for the user."""

    ALIVE = "alive"
    AWAY = "away"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Probe:
    """The answer of a server, and its reason."""

    answer: Answer
    reason: str = ""


def probe(base_url: str, api_key: str | None, *, timeout: float = 5) -> Probe:
    """Ask the server for the user of the key, and return its answer. The client itself would retry
    for minutes.

    A refusal of the key and a server error count. Any other answer counts as alive, since the
    client's certificates and proxies may differ from those used here.
    """
    head = {"Content-Type": "application/json", "User-Agent": "sweep"}
    if api_key is not None:
        head["Authorization"] = "Basic " + b64encode(f"api:{api_key}".encode()).decode()
    request = Request(f"{base_url}/graphql", json.dumps(_VIEWER).encode(), head)
    # As in the client, a server on this machine is not asked through a proxy.
    local = urlsplit(base_url).hostname in ("127.0.0.1", "localhost", "::1")
    try:
        with build_opener(*[ProxyHandler({})] if local else []).open(request, timeout=timeout):
            return Probe(Answer.ALIVE)
    except HTTPError as error:
        return Probe(_answer(error.code, with_key=api_key is not None), f"HTTP {error.code}")
    except URLError as error:
        if isinstance(error.reason, ssl.SSLError):
            return Probe(Answer.ALIVE, str(error.reason))
        return Probe(Answer.AWAY, str(getattr(error.reason, "strerror", None) or error.reason))
    except (OSError, HTTPException) as error:
        return Probe(Answer.AWAY, str(error) or type(error).__name__)


def _answer(status: int, *, with_key: bool) -> Answer:
    if status in (401, 403) and with_key:
        return Answer.REJECTED
    return Answer.AWAY if status >= 500 or status == 429 else Answer.ALIVE
