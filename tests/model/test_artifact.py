"""A saved model, loaded again in another process and by other means."""

from __future__ import annotations

import copy
import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from support.passes import logits, train
from support.small_files import small_files
from support.tiny import ADAPTERS
from sweep.config.schema import Config, ModelConfig
from sweep.config.settings import TrainSettings
from sweep.data.labels import LabelSpace
from sweep.errors import UserError
from sweep.model.artifact import load, save, temperature, thresholds
from sweep.model.base_model_cache import BaseModelCache
from sweep.model.manifest import base_name
from sweep.records.cost import Cost
from sweep.records.final import Refit

Configure = Callable[..., Config]
CHANNELS = [("gpt2", adapter) for adapter in ADAPTERS] + [
    ("distilbert", "lora"),
    ("no_pooler", "qlora"),
    ("no_pooler", "head"),
    ("gpt2", "quantised head"),
    ("llama", "ia3"),
]
RELOAD = """
import sys
from pathlib import Path
import torch
from safetensors.torch import save_file
from sweep.model.artifact import load
from support.passes import logits

torch.set_num_threads(1)
for folder in map(Path, sys.argv[1:]):
    model, tokenizer = load(folder)
    save_file({"logits": logits(model, tokenizer)}, folder / "reloaded.safetensors")
"""


def trained(folder: Path, config: Config, labels: LabelSpace, base_models: BaseModelCache) -> Tensor:
    """Train a little and save; the logits of what was saved."""
    tokenizer = base_models.tokenizer(config.model)
    with base_models.model(TrainSettings.of(config), labels) as model:
        train(model, tokenizer)
        save(model, tokenizer, folder, config=config, labels=labels, metrics={"eval/accuracy": 0.5})
        return logits(model, tokenizer)


def test_a_fresh_process_gives_identical_logits(configure: Configure, labels: LabelSpace, tmp_path: Path) -> None:
    base_models, expected = BaseModelCache("cpu"), {}
    for model, adapter in CHANNELS:
        half = {"dtype": "bfloat16"} if model == "llama" else {}
        bits = {"quantization": "nf4"} if adapter.startswith("quantised") else {}
        folder = tmp_path / f"{model}-{adapter}"
        config = configure(model, adapter.removeprefix("quantised "), model=half, adapter=bits)
        expected[folder] = trained(folder, config, labels, base_models)
    root = Path(__file__).parents[2]
    environment = {
        "PYTHONPATH": f"{root / 'src'}:{root / 'tests'}",
        "HF_HUB_OFFLINE": "1",
        "PATH": "",
        "MKL_CBWR": os.environ["MKL_CBWR"],
    }
    done = subprocess.run(
        [sys.executable, "-c", RELOAD, *map(str, expected)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for folder, scores in expected.items():
        assert torch.equal(load_file(folder / "reloaded.safetensors")["logits"], scores), folder.name


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_folder_holds_no_pickle_and_no_base(
    adapter: str, configure: Configure, labels: LabelSpace, tmp_path: Path
) -> None:
    trained(tmp_path, configure("gpt2", adapter), labels, BaseModelCache("cpu"))
    names = {file.name for file in tmp_path.iterdir()}
    weights = {name for name in names if name.endswith(".safetensors")}
    assert weights == {
        {"head": "head.safetensors", "full": "model.safetensors"}.get(adapter, "adapter_model.safetensors")
    }
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pth", ".pkl"))]
    assert {"sweep_model.json", "config.json", "tokenizer.json", "README.md"} <= names
    if adapter != "full":
        assert not [name for name in load_file(tmp_path / next(iter(weights))) if "wte" in name]


def test_manifest(configure: Configure, labels: LabelSpace, tmp_path: Path) -> None:
    config = configure("gpt2", "qlora", dataset={"max_length": 20})
    trained(tmp_path, config, labels, BaseModelCache("cpu"))
    found = json.loads((tmp_path / "sweep_model.json").read_text())
    assert (found["method"], found["max_length"], found["head"]) == ("lora", 20, ["score"])
    assert found["labels"] == {"task": "single_label", "names": list(labels.names)}
    assert found["quantization"] == {"double": True, "compute_dtype": "bfloat16"}
    assert found["base"]["path"] == config.model.path and found["base"]["dtype"] == "float32"


@pytest.mark.parametrize(
    ("model", "adapter"),
    [("gpt2", "lora"), ("distilbert", "ia3"), ("no_pooler", "head"), ("gpt2", "full"), ("gpt2", "qlora")],
)
def test_the_card_says_how_to_load(
    model: str, adapter: str, configure: Configure, labels: LabelSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Its code is run as it stands."""
    scores = trained(tmp_path, configure(model, adapter), labels, BaseModelCache("cpu"))
    text = (tmp_path / "README.md").read_text()
    monkeypatch.chdir(tmp_path)
    with_sweep, without = text.split("```python\n")[1:]
    found: dict[str, Any] = {}
    exec(with_sweep.split("```")[0], found)
    loaded = found["model"]
    assert torch.equal(logits(loaded.model, loaded.reader.tokenizer), scores)
    (one,) = loaded.predict(["your text"])
    assert capsys.readouterr().out == f"{one.label} {one.probability}\n" and sum(
        one.probabilities.values()
    ) == pytest.approx(1)
    found = {}
    exec(without.split("```")[0], found)
    assert torch.equal(logits(found["model"], found["tokenizer"]), scores)


@pytest.mark.parametrize(
    ("adapter", "file", "text"),
    [
        ("lora", "adapter_model.safetensors", "version https://git-lfs.github.com/spec/v1"),
        ("lora", "adapter_config.json", None),
        ("head", "head.safetensors", None),
        ("full", "model.safetensors", ""),
        ("lora", "tokenizer.json", "{"),
    ],
)
def test_a_folder_whose_copy_is_not_whole_is_named(
    adapter: str, file: str, text: str | None, configure: Configure, labels: LabelSpace, tmp_path: Path
) -> None:
    trained(tmp_path, configure("no_pooler", adapter), labels, BaseModelCache("cpu"))
    (tmp_path / file).unlink()
    if text is not None:
        (tmp_path / file).write_text(text)
    with pytest.raises(UserError) as caught:
        load(tmp_path)
    (fault,) = caught.value.faults
    assert fault.path == str(tmp_path) and fault.message.startswith("holds a saved model that cannot be loaded: ")
    assert fault.message.endswith("; put its files back from a copy")


def test_a_model_trained_under_autocast_computes_under_it(
    configure: Configure, labels: LabelSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So does a copy of it, and the code of its card without sweep."""
    config, base_models = configure("no_pooler", "lora", trainer={"bf16": True}), BaseModelCache("cpu")
    plain = trained(tmp_path, config, labels, base_models)
    model, tokenizer = load(tmp_path)
    found = logits(model, tokenizer)
    assert found.dtype == torch.float32 and not torch.equal(found, plain)
    assert torch.equal(found, logits(copy.deepcopy(model), tokenizer))
    assert not torch.is_autocast_enabled("cpu")
    with pytest.raises(ValueError, match="exactly one of input_ids"):
        model(no_such_argument=1)
    assert not torch.is_autocast_enabled("cpu")
    monkeypatch.chdir(tmp_path)
    without: dict[str, Any] = {}
    exec((tmp_path / "README.md").read_text().split("```python\n")[2].split("```")[0], without)
    own = model(**tokenizer(["your text"], padding=True, truncation=True, return_tensors="pt")).logits
    assert torch.equal(without["logits"], own)


def test_texts_are_cut_where_those_of_the_study_were(
    configure: Configure, labels: LabelSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code on the card cuts texts at the study's length, and the tokenizer that trials share
    is unchanged."""
    config, base_models = configure("gpt2", "lora", dataset={"max_length": 3}), BaseModelCache("cpu")
    tokenizer, long = base_models.tokenizer(config.model), "card fees balance card fees"
    with base_models.model(TrainSettings.of(config), labels) as model:
        save(model, tokenizer, tmp_path, config=config, labels=labels)
        rows = tokenizer([long], truncation=True, max_length=3, return_tensors="pt")
        expected = model.eval()(**rows).logits
    assert tokenizer.model_max_length > 3
    monkeypatch.chdir(tmp_path)
    with_sweep, without = (tmp_path / "README.md").read_text().split("```python\n")[1:]
    found: dict[str, Any] = {}
    exec(with_sweep.split("```")[0].replace("your text", long), found)
    assert list(found["found"].probabilities.values()) == pytest.approx(expected.softmax(1)[0].tolist())
    exec(without.split("```")[0].replace("your text", long), found)
    assert torch.equal(found["logits"], expected)


def test_the_card_names_what_was_done(configure: Configure, labels: LabelSpace, tmp_path: Path) -> None:
    config = configure("gpt2", "qlora", optimizer={"learning_rate": 3e-4}, dataset={"path": "banking77"})
    trained(tmp_path, config, labels, BaseModelCache("cpu"))
    text = (tmp_path / "README.md").read_text()
    for piece in ("| eval/accuracy | 0.5000 |", "`balance`, `card`, `fees`", "`0.0003`", "base in nf4", "`banking77`"):
        assert piece in text


@pytest.mark.parametrize("adapter", ["lora", "head"])
def test_the_card_of_a_base_whose_own_head_has_another_size(
    adapter: str, configure: Configure, labels: LabelSpace, folders: dict[str, Path], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    AutoModelForSequenceClassification.from_pretrained(folders["bert"], num_labels=7).save_pretrained(tmp_path / "base")
    AutoTokenizer.from_pretrained(folders["bert"]).save_pretrained(tmp_path / "base")
    config = configure("bert", adapter, model={"path": str(tmp_path / "base")})
    scores = trained(tmp_path / "model", config, labels, BaseModelCache("cpu"))
    monkeypatch.chdir(tmp_path / "model")
    found: dict[str, Any] = {}
    exec(Path("README.md").read_text().split("```python\n")[2].split("```")[0], found)
    assert torch.equal(logits(found["model"], found["tokenizer"]), scores)


def test_files_are_for_other_users_and_machines(configure: Configure, labels: LabelSpace, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        config = configure("gpt2", "lora")
        trained(tmp_path, config, labels, BaseModelCache("cpu"))
    finally:
        os.umask(before)
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir() if file.is_file()} == {0o640}
    settings = json.loads((tmp_path / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == "./gpt2"
    assert "The base is a folder of the machine" in (tmp_path / "README.md").read_text()


@pytest.mark.parametrize(
    ("base", "name"),
    [
        ({"path": "/data/models/bert"}, "./bert"),
        ({"path": "pkg://some_package/model"}, "pkg://some_package/model"),
        ({"path": "google-bert/bert-base-uncased", "revision": "abc"}, "google-bert/bert-base-uncased"),
        ({"path": "gpt2", "init": "random"}, "random weights, which sweep.model.artifact.load draws"),
        ({"path": "a/b", "gguf_file": "q4.gguf"}, "q4.gguf, which sweep.model.artifact.load converts"),
    ],
)
def test_the_name_of_the_base_for_other_machines(base: dict[str, Any], name: str) -> None:
    assert base_name(ModelConfig.model_validate(base)) == name


def test_the_card_makes_texts_harmless(configure: Configure, tmp_path: Path) -> None:
    labels, base_models = LabelSpace("multi_label", ("a|`b`", "<i>c</i>", "*d*\n# e")), BaseModelCache("cpu")
    config = configure("bert", "head", title="T <b>\n---\nlicense: mit\n# *x*", dataset={"path": "`rm|x`"})
    with base_models.model(TrainSettings.of(config), labels) as model:
        save(model, base_models.tokenizer(config.model), tmp_path, config=config, labels=labels)
    text = (tmp_path / "README.md").read_text()
    assert r"# T &lt;b&gt; --- license: mit # \*x\*" in text.splitlines()
    assert "``a|`b` ``" in text.replace("`` a", "``a") and "`*d* # e`" in text
    assert r"| a\|\`b\` | 0.5000 |" in text and "| &lt;i&gt;c&lt;/i&gt; | 0.5000 |" in text
    assert r"| `dataset.path` | ``" in text and r"`rm\|x`" in text
    assert text.count("\n---\n") == 1 and "license" not in text.split("---")[1]


def test_thresholds_are_kept_with_the_model(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    several, base_models = LabelSpace("multi_label", ("balance", "card", "fees")), BaseModelCache("cpu")
    config = configure("bert", "head", trainer={"decision_threshold": "tuned"})
    with base_models.model(TrainSettings.of(config), several) as model:
        tokenizer = base_models.tokenizer(config.model)
        save(model, tokenizer, tmp_path, config=config, labels=several, thresholds=(0.1, 0.5, 0.9999))
    assert thresholds(tmp_path) == (0.1, 0.5, 0.9999)
    text = (tmp_path / "README.md").read_text()
    assert "| balance | 0.1000 |" in text and "chosen on the validation rows" in text
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    exec(text.split("```python\n")[1].split("```")[0], found)
    chances = found["found"].probabilities
    applying = tuple(
        name for name, least in zip(several.names, (0.1, 0.5, 0.9999), strict=True) if chances[name] >= least
    )
    assert found["model"].thresholds == (0.1, 0.5, 0.9999) and found["found"].label == applying


def test_a_temperature_is_kept_with_the_model(
    configure: Configure, labels: LabelSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code of the card, with sweep and without it, gives the same probabilities."""
    config, base_models = configure("bert", "head"), BaseModelCache("cpu")
    with base_models.model(TrainSettings.of(config), labels) as model:
        save(model, base_models.tokenizer(config.model), tmp_path, config=config, labels=labels, temperature=2.5)
    assert temperature(tmp_path) == 2.5
    text = (tmp_path / "README.md").read_text()
    assert "Probabilities are calibrated: the logits are divided by 2.5" in text
    monkeypatch.chdir(tmp_path)
    with_sweep: dict[str, Any] = {}
    without: dict[str, Any] = {}
    for code, found in zip(text.split("```python\n")[1:], (with_sweep, without), strict=False):
        exec(code.split("```")[0], found)
    chances = list(with_sweep["found"].probabilities.values())
    assert without["logits"].softmax(1)[0].tolist() == pytest.approx(chances, abs=1e-6)
    raw, tokenizer = load(tmp_path)
    logits = raw(**tokenizer(["your text"], return_tensors="pt")).logits
    assert (logits / 2.5).softmax(1)[0].tolist() == pytest.approx(chances, abs=1e-6)


def test_the_card_of_a_refit_says_whose_scores_are_whose(configure: Configure, tmp_path: Path) -> None:
    several, base_models = LabelSpace("multi_label", ("balance", "card")), BaseModelCache("cpu")
    config = configure("bert", "head", trainer={"decision_threshold": "tuned"})
    metrics = {"eval/f1_macro": 0.25, "test/f1_macro": 0.75}
    refit = Refit(rows=600, steps=150, total_steps=225, cost=Cost())
    with base_models.model(TrainSettings.of(config), several) as model:
        tokenizer = base_models.tokenizer(config.model)
        save(
            model,
            tokenizer,
            tmp_path,
            config=config,
            labels=several,
            metrics=metrics,
            thresholds=(0.1, 0.5),
            refit=refit,
        )
    text = (tmp_path / "README.md").read_text()
    assert "refitted on train and validation rows together (600), for 150 of the 225 steps of its schedule" in text
    own, told, before = (
        text.split("## Results")[1].split("## Labels")[0].partition("No validation score of this model exists")
    )
    assert told and "| test/f1_macro | 0.7500 |" in own and "eval/" not in own
    assert "trained on the train rows alone" in before and "| eval/f1_macro | 0.2500 |" in before
    assert "chosen on the validation rows for the model trained on the train rows alone" in text


def test_without_tuning_the_configured_threshold_is_kept(configure: Configure, tmp_path: Path) -> None:
    several, one = (LabelSpace(task, ("balance", "card")) for task in ("multi_label", "single_label"))
    config, base_models = configure("bert", "head", trainer={"decision_threshold": 0.3}), BaseModelCache("cpu")
    for labels, expected in ((several, (0.3, 0.3)), (one, None)):
        with base_models.model(TrainSettings.of(config), labels) as model:
            save(model, base_models.tokenizer(config.model), tmp_path, config=config, labels=labels)
        assert thresholds(tmp_path) == expected
    assert "validation rows" not in (tmp_path / "README.md").read_text()


def test_a_base_that_has_moved(
    configure: Configure, labels: LabelSpace, folders: dict[str, Path], tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    moved.symlink_to(folders["bert"])
    config = configure("bert", model={"path": str(moved)})
    scores = trained(tmp_path / "model", config, labels, BaseModelCache("cpu"))
    manifest = tmp_path / "model" / "sweep_model.json"
    manifest.write_text(manifest.read_text().replace(str(folders["bert"]), "/gone"))
    with pytest.raises(
        UserError, match=r"model.path: is /gone, but there is no such directory.*load\(folder, base=…\)"
    ):
        load(tmp_path / "model")
    model, tokenizer = load(tmp_path / "model", base=str(folders["bert"]))
    assert torch.equal(logits(model, tokenizer), scores)


@pytest.mark.parametrize("adapter", ["lora", "full"])
def test_weights_that_the_disk_does_not_take(
    adapter: str, configure: Configure, labels: LabelSpace, tmp_path: Path
) -> None:
    config, base_models = configure("gpt2", adapter), BaseModelCache("cpu")
    tokenizer = base_models.tokenizer(config.model)
    with base_models.model(TrainSettings.of(config), labels) as model, pytest.raises(OSError) as found, small_files():
        save(model, tokenizer, tmp_path, config=config, labels=labels)
    assert (found.value.errno, found.value.filename) == (errno.EFBIG, str(tmp_path))


def test_a_tokenizer_that_the_disk_does_not_take(configure: Configure, labels: LabelSpace, tmp_path: Path) -> None:
    config, base_models = configure("gpt2"), BaseModelCache("cpu")
    (tmp_path / "tokenizer.json").symlink_to("/dev/full")
    with base_models.model(TrainSettings.of(config), labels) as model, pytest.raises(OSError) as found:
        save(model, base_models.tokenizer(config.model), tmp_path, config=config, labels=labels)
    assert found.value.errno == errno.ENOSPC


def test_not_a_saved_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no model saved by sweep"):
        load(tmp_path)


def test_a_head_of_another_model_is_refused(configure: Configure, labels: LabelSpace, tmp_path: Path) -> None:
    trained(tmp_path, configure("gpt2", "head"), labels, BaseModelCache("cpu"))
    save_file({"other": torch.zeros(1)}, tmp_path / "head.safetensors")
    with pytest.raises(UserError, match="does not train the same weights: .*other"):
        load(tmp_path)
