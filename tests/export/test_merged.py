"""A merged folder, as a process without this project loads it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoModelForSequenceClassification, pipeline

from support.architectures import save_architecture, word_tokenizer
from support.random_winners import LABELS, ROWS, winner
from support.tiny import ADAPTERS
from sweep.errors import UserError
from sweep.export.request import Request
from sweep.export.run import run
from sweep.export.temperature import put_into_head
from sweep.model import artifact
from sweep.model import manifest as manifests
from sweep.model.account import unwrapped
from sweep.predict.loading import load

ALONE = """
import json
import sys

for name in ("sweep", "peft"):
    sys.modules[name] = None  # importing it is an error
from transformers import pipeline

for folder, inputs in json.loads(sys.argv[1]):
    classify = pipeline("text-classification", model=folder, truncation=True)
    single = [classify(one, top_k=None, function_to_apply="none") for one in inputs]
    batch = classify(inputs, top_k=None, function_to_apply="none", batch_size=len(inputs))
    print(json.dumps([single, batch, classify(inputs[:1])]))
"""


def slow(*values: str) -> Any:
    return pytest.param(*values, marks=pytest.mark.slow)


def alone(jobs: Sequence[tuple[Path, Sequence[Any]]]) -> list[tuple[np.ndarray, np.ndarray, Any]]:
    """Return for each folder, with its inputs, the logits that transformers' pipeline computes in
    a process of its own, (rows, labels): row by row, and in one batch; and what it says of the
    first row."""
    given = json.dumps([(str(folder), inputs) for folder, inputs in jobs])
    done = subprocess.run(
        [sys.executable, "-I", "-c", ALONE, given],
        env={"HF_HUB_OFFLINE": "1", "PATH": "", "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[[")]
    return [(_logits(single), _logits(batch), first[0]) for single, batch, first in found]


def _logits(rows: Any) -> np.ndarray:
    return np.array([[{one["label"]: one["score"] for one in row}[name] for name in LABELS] for row in rows])


def exported(one: Any, folder: Path, **changes: Any) -> dict[str, Any]:
    """Return what export.json says."""
    run(one, Request("merged", str(folder), **changes))
    found: dict[str, Any] = json.loads((folder / "export.json").read_text())
    return found


def reference(one: Any, *, pairs: bool = False) -> np.ndarray:
    """Return the logits of the winner itself on all texts, (rows, labels)."""
    model, tokenizer = artifact.load(one.model)
    texts, seconds = [text for text, _ in ROWS], [text for text, _ in ROWS[::-1]]
    rows = tokenizer(texts, seconds if pairs else None, padding=True, truncation=True, return_tensors="pt")
    logits: np.ndarray = model(**rows).logits.detach().numpy()
    return logits


@pytest.mark.slow
def test_a_process_without_this_project_loads_the_folder(folders: dict[str, Path], tmp_path: Path) -> None:
    """It has neither this project nor PEFT. Rows are longer than the limit of 6 tokens, and padded
    in the batch."""
    texts, seconds = [text for text, _ in ROWS], [text for text, _ in ROWS[::-1]]
    paired = [{"text": text, "text_pair": second} for text, second in zip(texts, seconds, strict=True)]
    jobs, expected = [], []
    for model, adapter, pairs in (("bert", "lora", True), ("gpt2", "qlora", False), ("llama", "lora", False)):
        root = tmp_path / model
        one = winner(root, folders[model], ADAPTERS[adapter], pairs=pairs, dataset={"max_length": 6})
        exported(one, root / "out")
        jobs.append((root / "out", paired if pairs else texts))
        expected.append((reference(one, pairs=pairs), 0.05 if adapter == "qlora" else 1e-5))
    for (single, batch, first), (logits, slack) in zip(alone(jobs), expected, strict=True):
        assert np.abs(single - logits).max() < slack * max(1, np.abs(logits).max())
        assert np.abs(single - batch).max() < 1e-5
        chances = np.exp(single[0]) / np.exp(single[0]).sum()
        assert first == {"label": LABELS[single[0].argmax()], "score": pytest.approx(chances.max(), abs=1e-6)}


@pytest.mark.parametrize("model", ["bert", *(slow(name) for name in ("roberta", "distilbert", "gpt2", "llama"))])
def test_each_architecture_is_merged(model: str, folders: dict[str, Path], tmp_path: Path) -> None:
    found = exported(winner(tmp_path, folders[model], ADAPTERS["lora"]), tmp_path / "out")
    assert found["same"]["difference"] < 1e-5 and found["study"]["changed"] == []
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert not [name for name in names if name.startswith("adapter")]
    assert len({file.stat().st_mode for file in (tmp_path / "out").iterdir()}) == 1
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md", "export.json"} <= names


@pytest.mark.parametrize("adapter", ["qlora", *(slow(name) for name in ("ia3", "head", "full"))])
def test_each_kind_of_training_is_merged(adapter: str, folders: dict[str, Path], tmp_path: Path) -> None:
    found = exported(winner(tmp_path, folders["gpt2"], ADAPTERS[adapter]), tmp_path / "out")
    assert found["same"]["difference"] < 1e-5
    assert found["study"]["precision"] == ("bfloat16" if adapter == "qlora" else "float32")


def test_a_head_of_several_layers_is_merged(folders: dict[str, Path], tmp_path: Path) -> None:
    found = exported(winner(tmp_path, folders["roberta"], ADAPTERS["ia3"]), tmp_path / "out")
    assert found["same"]["difference"] < 1e-5


@pytest.mark.parametrize("model", ["bert", *(slow(name) for name in ("roberta", "distilbert", "gpt2", "llama"))])
def test_the_temperature_of_a_calibrated_winner_is_in_the_head(
    model: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    one = winner(tmp_path, folders[model], ADAPTERS["lora"], temperature=2.5)
    found = exported(one, tmp_path / "out")
    assert found["same"]["difference"] < 1e-5 and found["temperature"] == 2.5
    classify = pipeline("text-classification", model=str(tmp_path / "out"), truncation=True)
    (chances,) = classify(["fee"], top_k=None)
    ours = load(one.model).predict(["fee"])[0].probabilities
    assert {entry["label"]: entry["score"] for entry in chances} == pytest.approx(dict(ours), abs=1e-5)
    again = load(tmp_path / "out").predict(["fee"])[0].probabilities  # divided once
    assert dict(again) == pytest.approx(dict(ours), abs=1e-5)
    assert "calibrated probabilities" in (tmp_path / "out" / "README.md").read_text()


def test_a_head_that_cannot_hold_a_temperature_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    one = winner(tmp_path, folders["bert"], ADAPTERS["lora"], temperature=2.5)
    manifest = manifests.read(one.model)
    manifests.write(replace(manifest, head=("bert.embeddings",)), one.model)
    with pytest.raises(UserError, match="ends in a linear layer.*use --to onnx"):
        put_into_head(unwrapped(artifact.load(one.model)[0]), manifests.read(one.model))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["HRA", "OFT", "BOFT", "LOHA", "VERA", "FOURIERFT", "LN_TUNING", "RANDLORA", "OSF"])
def test_other_methods_of_peft_are_merged(method: str, folders: dict[str, Path], tmp_path: Path) -> None:
    found = exported(winner(tmp_path, folders["roberta"], {"method": "peft", "peft_type": method}), tmp_path / "out")
    assert found["same"]["difference"] < found["same"]["tolerance"]


@pytest.mark.slow
def test_a_folder_is_loaded_by_this_project_too(folders: dict[str, Path], tmp_path: Path) -> None:
    one = winner(tmp_path, folders["bert"], ADAPTERS["lora"])
    exported(one, tmp_path / "out")
    expected, tokenizer = artifact.load(one.model)
    model, _ = artifact.load(tmp_path / "out")
    rows = tokenizer([text for text, _ in ROWS], padding=True, return_tensors="pt")
    assert np.abs((model(**rows).logits - expected(**rows).logits).detach().numpy()).max() < 1e-5


@pytest.mark.slow
def test_several_labels_have_their_probabilities_and_thresholds(folders: dict[str, Path], tmp_path: Path) -> None:
    one = winner(
        tmp_path, folders["bert"], ADAPTERS["lora"], task="multi_label", thresholds=(0.4, 0.5, 0.6), pairs=True
    )
    found = exported(one, tmp_path / "out")
    assert found["thresholds"] == [0.4, 0.5, 0.6] and found["study"]["changed"] == []
    classify = pipeline("text-classification", model=str(tmp_path / "out"), truncation=True)
    scores = classify({"text": ROWS[0][0], "text_pair": ROWS[-1][0]}, top_k=None)
    expected = 1 / (1 + np.exp(-reference(one, pairs=True)[0]))
    assert {each["label"]: each["score"] for each in scores} == pytest.approx(
        dict(zip(LABELS, expected, strict=True)), abs=1e-6
    )
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| card | 0.5000 |" in card and "top_k=None" in card and "pipeline_tag: text-classification" in card


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("distilbert", "cls"), slow("bert", "pooler"), slow("roberta", "cls"), slow("gpt2", "last"), slow("llama", "last"),
    ],
)  # fmt: skip
def test_a_pooling_that_the_class_has_is_plain(model: str, kind: str, folders: dict[str, Path], tmp_path: Path) -> None:
    one = winner(tmp_path, folders[model], ADAPTERS["lora"], model={"pooling": kind})
    assert exported(one, tmp_path / "out")["same"]["difference"] < 1e-5
    assert not (tmp_path / "out" / "pooled.py").exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mean", "cls"])
def test_modernbert_has_a_setting_for_its_pooling(kind: str, tmp_path: Path) -> None:
    base = tmp_path / "base"
    save_architecture("modernbert", base, word_tokenizer(), classifier_pooling={"mean": "cls", "cls": "mean"}[kind])
    base_model = {"path": "", "init": "random", "config": str(base), "tokenizer": str(base), "pooling": kind}
    one = winner(tmp_path, base, ADAPTERS["lora"], model=base_model)
    assert exported(one, tmp_path / "out")["same"]["difference"] < 1e-5
    assert json.loads((tmp_path / "out" / "config.json").read_text())["classifier_pooling"] == kind


@pytest.mark.parametrize(("model", "kind"), [("bert", "mean"), slow("distilbert", "last"), slow("gpt2", "mean")])
def test_a_pooling_that_no_class_has_is_refused(
    model: str, kind: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    one = winner(tmp_path, folders[model], ADAPTERS["lora"], model={"pooling": kind})
    with pytest.raises(UserError, match=f"model.pooling is {kind}, and no class of transformers .* --to onnx"):
        exported(one, tmp_path / "out")
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".out*"))


@pytest.mark.parametrize(("model", "kind"), [("bert", "mean"), ("distilbert", "last"), ("llama", "mean")])
@pytest.mark.slow
def test_code_holds_a_pooling_that_no_class_has(
    model: str, kind: str, folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    one = winner(tmp_path, folders[model], ADAPTERS["lora"], model={"pooling": kind})
    found = exported(one, tmp_path / "out", custom_code=True)
    assert found["same"]["difference"] < 1e-5
    assert "trust_remote_code=True" in (tmp_path / "out" / "README.md").read_text()
    with pytest.raises((ValueError, EOFError, OSError)):  # it asks, and nobody answers
        AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    expected, tokenizer = artifact.load(one.model)
    loaded, _ = artifact.load(tmp_path / "out")
    rows = tokenizer([text for text, _ in ROWS], padding=True, return_tensors="pt")
    assert np.abs((loaded(**rows).logits - expected(**rows).logits).detach().numpy()).max() < 1e-5


def test_a_winner_of_autocast_is_compared_in_both_ways(
    folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = winner(tmp_path, folders["bert"], ADAPTERS["lora"], trainer={"bf16": True})
    found = exported(one, tmp_path / "out")
    assert found["study"]["precision"] == "bfloat16"
    assert found["same"]["difference"] < 1e-5 < found["study"]["difference"] < found["study"]["tolerance"]
    assert "the study computed in bfloat16, the export computes in float32" in capsys.readouterr().out


@pytest.mark.slow
def test_beyond_the_tolerance_nothing_is_left(folders: dict[str, Path], tmp_path: Path) -> None:
    one = winner(tmp_path, folders["bert"], ADAPTERS["lora"], trainer={"bf16": True})
    with pytest.raises(UserError, match="--tolerance: is 1e-07, but a logit differs from that of the study by"):
        exported(one, tmp_path / "out", tolerance=1e-7)
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".out*"))


def test_an_adapter_that_cannot_be_merged_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    one = winner(tmp_path, folders["bert"], {"method": "peft", "peft_type": "LILY", "options": {"r": 2}})
    with pytest.raises(UserError, match="PEFT merges no LILY adapter; use --to onnx"):
        exported(one, tmp_path / "out")


def test_data_that_moved_is_named(folders: dict[str, Path], tmp_path: Path) -> None:
    one = winner(tmp_path, folders["bert"], ADAPTERS["head"])
    (tmp_path / "data").rename(tmp_path / "moved")
    with pytest.raises(UserError, match="--data names their place"):
        exported(one, tmp_path / "out")
    assert exported(one, tmp_path / "out", data=str(tmp_path / "moved"), rows=5)["rows"] == 5


@pytest.mark.slow
def test_data_that_changed_is_told(
    folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = winner(tmp_path, folders["bert"], ADAPTERS["head"])
    with (tmp_path / "data" / "validation.csv").open("a") as file:
        file.write("a new row,card,x\n")
    exported(one, tmp_path / "out")
    assert "its fingerprint is another" in capsys.readouterr().out
