"""Uploads to a hub on this machine."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from support.hub_server import TOKEN, Hub, served
from support.random_winners import winner
from support.tiny import ADAPTERS
from sweep.errors import UserError
from sweep.export.hub import check_repository, refusals, upload
from sweep.export.request import Request
from sweep.export.run import run
from sweep.model.manifest import read, write

# huggingface_hub gives its HTTP client raw bytes in the older of two ways
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
NAME = "someone/banking-intents"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with served() as server:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.address)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setattr("huggingface_hub.hf_api.is_xet_available", lambda: False)
        monkeypatch.setattr("huggingface_hub._commit_api.is_xet_available", lambda: False, raising=False)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield server


def test_the_adapter_is_uploaded_with_its_card(
    hub: Hub, folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = winner(tmp_path, folders["bert"], ADAPTERS["lora"], trainer={"bf16": True})
    write(replace(read(one.model), autocast=None), one.model)  # as in folders of older versions
    run(one, Request("hub", NAME))
    assert hub.private == {NAME: True} and hub.messages == ["adapter weights of study, trial 1"]
    files = hub.files[NAME]
    assert {"README.md", "adapter_model.safetensors", "adapter_config.json", "export.json"} <= files.keys()
    assert files["adapter_model.safetensors"] == (one.model / "adapter_model.safetensors").read_bytes()
    export = json.loads(files["export.json"])
    assert (export["study"]["difference"], export["same"]) == (0, None)
    assert f"Exported  {hub.address}/{NAME}" in capsys.readouterr().out


@pytest.mark.slow
def test_merged_weights_take_the_place_of_other_files(hub: Hub, folders: dict[str, Path], tmp_path: Path) -> None:
    one = winner(tmp_path, folders["bert"], ADAPTERS["lora"])
    hub.files[NAME], hub.private[NAME] = {"adapter_model.safetensors": b"old", ".gitattributes": b""}, False
    with pytest.raises(UserError, match="holds 1 files already; .* --replace"):
        run(one, Request("hub", NAME, merged=True))
    run(one, Request("hub", NAME, merged=True, replace=True))
    assert {"model.safetensors", "README.md", "config.json", ".gitattributes"} <= hub.files[NAME].keys()
    assert "adapter_model.safetensors" not in hub.files[NAME]
    assert b"pipeline_tag: text-classification" in hub.files[NAME]["README.md"]


def test_a_public_repository_is_asked_for(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "README.md").write_text("A card.")
    upload(tmp_path / "files", NAME, public=True, message="a model")
    assert hub.private == {NAME: False} and hub.files[NAME]["README.md"] == b"A card."


def test_a_token_that_may_not_write(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_" + "x" * 34)
    check_repository(NAME, replace=False)
    with pytest.raises(UserError, match="the hub refused it .401.: .*hf auth login"):
        upload(tmp_path, NAME, public=False, message="a model")
    assert not hub.files


def test_a_hub_that_is_away(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="the hub cannot be reached"):
        check_repository(NAME, replace=False)


def test_an_error_of_the_disk_is_not_one_of_the_hub() -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(OSError, match="No space left on device"), refusals(NAME):
        raise full
    with pytest.raises(RuntimeError), refusals(NAME):
        raise RuntimeError("a large file") from full
