"""An adapter method of the user's own: the files of the recipe in docs/adapters.md, as they stand,
and nothing else."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import tiny
from support.program import run
from sweep.config import adapter as adapters
from sweep.config.parse import parse
from sweep.records.store import Store

RECIPE = Path(__file__).parents[3] / "docs" / "adapters.md"
ROWS = "text,label\n" + "".join(
    f"{text} number {number},{label}\n"
    for number in range(12)
    for text, label in (("please top up my card", "card"), ("what does it cost", "fees"))
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the recipe's files, as a reader would have copied them, and data and a model
    beside them."""
    text = RECIPE.read_text()
    files = dict(re.findall(r"`([\w/.]+)`:\n\n```(?:python|yaml)\n(.*?)```", text, re.S))
    assert set(files) == {"my_vera.py", "mine/adapter/my_vera.yaml", "mine/space.yaml"}
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    (tmp_path / "data").mkdir()
    for split in ("train", "test"):
        (tmp_path / "data" / f"{split}.csv").write_text(ROWS)
    tiny.tiny_bert(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    known = set(adapters._OWN)
    yield tmp_path
    for name in set(adapters._OWN) - known:
        del adapters._OWN[name]
    sys.modules.pop("my_vera", None)
    if str(tmp_path) in sys.path:
        sys.path.remove(str(tmp_path))


def arguments(*more: str) -> list[str]:
    return [
        "model=custom", "model.path=model", "dataset=custom", "dataset.path=data", "tracker=none", "run_dir=run",
        "study.n_trials=2", "trainer.num_train_epochs=1", "trainer.device=cpu", "--config-dir", "mine", *more,
    ]  # fmt: skip


def test_the_recipe_trains_searches_and_reports(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (command,) = re.findall(r"python -m sweep (.*study\.space=mine/space\.yaml.*)", RECIPE.read_text())
    typed = [word for word in shlex.split(command) if not word.startswith(("--config-dir", "mine", "+experiment"))]
    assert run(monkeypatch, *arguments(*typed), report=True) == 0, capsys.readouterr().err
    store = Store(project / "run")
    methods = {trial.params["adapter"] for trial in store.trials()}
    assert methods == {"lora", "my_vera"}
    assert {trial.outcome.cost.engine for trial in store.trials()} == {"packed", "trainer"}
    report = (store.root / "report.md").read_text()
    assert "my_vera" in report and "adapter.rank" in report
    lock = store.lock()
    assert lock is not None and "sha256" in lock.versions["my_vera.MyVera"]


def test_its_faults_are_reported_with_key_value_and_what_to_type(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def message(**adapter: object) -> str:
        return " ".join(str(fault) for fault in parse({"adapter": {"method": "my_vera.MyVera", **adapter}}, str)[1])

    assert message(rank=4) == ""
    assert "adapter.rank: is 0, but must be greater than or equal to 1" in message(rank=0)
    assert "adapter.rnk: is not a config key (did you mean rank?)" in message(rnk=4)
    rule = "adapter.r: is 4, but adapter.method is my_vera.MyVera: only lora and dora have it; type adapter.r=null"
    assert rule in message(r=4)
    assert "has no MyVora (did you mean MyVera?)" in message(method="my_vera.MyVora")
    assert "which is no subclass of sweep.model.adapters.AdapterConfig" in message(method="pathlib.Path")
    assert "lacks the class variable `label`" in message(method="sweep.model.adapters.lora.LoraSettings")


def test_an_error_of_its_code_is_reported_with_the_line(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = (project / "my_vera.py").read_text()
    (project / "my_vera.py").write_text(source.replace("r=self.rank,", "rank=self.rank,"))
    assert run(monkeypatch, *arguments("adapter=my_vera")) == 2
    message = capsys.readouterr().err
    assert (
        "adapter.method: is my_vera.MyVera, which PEFT cannot put on bert: TypeError" in message
        and "my_vera.py, line" in message
    )


@pytest.mark.parametrize(
    ("changed", "to", "rule"),
    [
        (
            "def peft_config(self, model, head)",
            "def peft_confg(self, model, head)",
            "which lacks the method peft_config",
        ),
        ("def peft_config(self, model, head)", "def peft_config(self, model)", "whose peft_config cannot be called: "),
        ("def peft_config(self, model, head)", "@staticmethod\n    def peft_config(model, head)", ""),
    ],
)
def test_a_wrong_peft_config_is_refused_when_the_class_is_loaded(
    project: Path, changed: str, to: str, rule: str
) -> None:
    source = (project / "my_vera.py").read_text()
    (project / "my_vera.py").write_text(source.replace(changed, to))
    _, faults = parse({"adapter": {"method": "my_vera.MyVera"}}, str)
    assert [fault.path for fault in faults] == (["adapter.method"] if rule else [])
    assert all(rule in fault.message and "peft_config(self, model, head)" in fault.message for fault in faults)
