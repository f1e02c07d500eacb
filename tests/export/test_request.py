from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from sweep.config.schema import PromptConfig
from sweep.errors import UserError
from sweep.export import request as requests
from sweep.export.request import Request, check

WORDS = PromptConfig(template="{text} is about")


def refused(request: Request, prompt: PromptConfig | None = None) -> str:
    with pytest.raises(UserError) as caught:
        check(request, prompt)
    return str(caught.value)


@pytest.mark.parametrize("form", ["merged", "onnx"])
def test_a_new_or_an_empty_folder_is_taken(form: Any, tmp_path: Path) -> None:
    check(Request(form, str(tmp_path / "new")), None)
    (tmp_path / "empty").mkdir()
    check(Request(form, str(tmp_path / "empty")), None)


def test_a_folder_with_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert "holds files already" in refused(Request("merged", str(tmp_path)))
    assert "is a file" in refused(Request("onnx", str(tmp_path / "notes.txt")))


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "find_spec", lambda name: None if name == "onnxruntime" else object())
    assert "needs onnxruntime: pip install 'sweep[onnx]'" in refused(Request("onnx", str(tmp_path / "new")))
    check(Request("merged", str(tmp_path / "new")), None)


@pytest.mark.parametrize("flag", ["merged", "public", "replace"])
def test_flags_of_the_hub_need_the_hub(flag: str, tmp_path: Path) -> None:
    assert f"--{flag}: is for --to hub" in refused(Request("onnx", str(tmp_path), **{flag: True}))


def test_custom_code_is_for_merged_weights(tmp_path: Path) -> None:
    assert "--custom-code: is for merged weights" in refused(Request("onnx", str(tmp_path), custom_code=True))
    check(Request("merged", str(tmp_path / "new"), custom_code=True), None)


def test_label_words_have_no_class_of_transformers(tmp_path: Path) -> None:
    assert "label words" in refused(Request("merged", str(tmp_path)), WORDS)
    check(Request("onnx", str(tmp_path / "new")), WORDS)


@pytest.mark.parametrize("name", ["someone/my--model", "someone/my..model", f"someone/{'x' * 97}", "someone/model.git"])
def test_a_name_that_the_hub_does_not_take_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_" + "x" * 30)
    assert "but the hub has no such names: " in refused(Request("hub", name))


@pytest.mark.parametrize("name", ["model", "a/b/c", "/tmp/model", "someone/", "some one/model"])
def test_a_repository_has_an_owner(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_" + "x" * 30)
    assert re.search("must be hub OWNER/NAME", refused(Request("hub", name)))


def test_nothing_is_uploaded_without_a_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    said = refused(Request("hub", "someone/model"))
    assert said.count("\n") == 0 and "no token" in said and "hf auth login" in said


def test_a_hub_that_is_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_TOKEN", "hf_" + "x" * 30)
    assert refused(Request("hub", "someone/model")).startswith("HF_HUB_OFFLINE: is set")
