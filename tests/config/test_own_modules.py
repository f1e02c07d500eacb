"""The files of modules of the user's own, and of those that they import."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sweep.config.custom_code import code_state, imported_states, sent_state
from sweep.launch.code import IMPORTED, own_code

PATH = "measures_of_mine.gain"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a metric that imports modules beside it."""
    files = {
        "measures_of_mine.py": "import numpy\nfrom beside_it import one\n\ndef gain(labels, chances):\n"
        "    from package_of_mine.inner import deep\n",
        "beside_it.py": "import json\none = 1\n",
        "never_named.py": "",
        "package_of_mine/__init__.py": "",
        "package_of_mine/unread.py": "",
        "package_of_mine/relative.py": "print 'of Python 2'\n",
        "package_of_mine/inner/__init__.py": "from . import deep\nfrom ..relative import two\n",
        "package_of_mine/inner/deep.py": "import beside_it\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("measures_of_mine", "beside_it"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def imported_anew() -> dict[str, str]:
    sys.modules.pop("measures_of_mine")
    return imported_states([PATH])


def test_modules_that_are_imported_anywhere_are_found_and_others_are_not(folder: Path) -> None:
    assert list(imported_states([PATH])) == [
        "beside_it", "package_of_mine", "package_of_mine.inner", "package_of_mine.inner.deep", "package_of_mine.relative",
    ]  # fmt: skip
    assert imported_states(["optuna.samplers.RandomSampler"]) == {}


def test_a_change_is_seen_when_the_module_is_imported_anew(folder: Path) -> None:
    before, recorded, own = imported_states([PATH]), own_code([PATH]), code_state(PATH)
    (folder / "beside_it.py").write_text("one = 2\n")
    assert imported_states([PATH]) == before
    after = imported_anew()
    assert [name for name in before if after[name] != before[name]] == ["beside_it"]
    assert own_code([PATH])[IMPORTED] != recorded[IMPORTED]
    assert code_state(PATH) == sent_state(PATH) == own == recorded[PATH]


def test_a_module_that_imports_none_has_no_further_record(folder: Path) -> None:
    assert list(own_code(["beside_it.one"])) == ["beside_it.one"]
