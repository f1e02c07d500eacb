"""Files that no loader should be given."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweep.config.compose import Composer
from sweep.config.folders import conf_dir, sweeps_dir
from sweep.config.space import load
from sweep.config.yamlfile import hazard
from sweep.errors import UserError

RANGE = "optimizer.weight_decay: {low: 0, high: 0.1}\n"
LISTS = "a0: &a0 [1, 1, 1, 1]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}]\n" for n in range(1, 30))
MERGED = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{p: *a{n - 1}, q: *a{n - 1}}}\n" for n in range(1, 30))
CHAIN = "a0: &a0 [1]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 60))
HAZARDS = {
    "utf-16": (RANGE.encode("utf-16"), "is not UTF-8 text"),
    "latin-1": ("# \u00e9\n".encode("latin-1"), "is not UTF-8 text"),
    "mark before a header": (b"\xef\xbb\xbf# @package _global_\n" + RANGE.encode(), "begins with a byte order mark"),
    "nul": (RANGE.encode() + b"\0", "holds a NUL in line 2"),
    "holds itself": (b"a: &a {b: *a}", "has an alias to a value that holds it, *a in line 1"),
    "holds itself in a list": (b"a:\n- &a [1, [*a]]", "has an alias to a value that holds it, *a in line 2"),
    "nested": (b"a: " + b"[" * 1000 + b"]" * 1000, "is nested more than 40 deep"),
    "nested by indentation": ("\n".join(" " * n + "a:" for n in range(1000)).encode(), "is nested more than 40 deep"),
    "nested by aliases": (CHAIN.encode(), "is nested more than 40 deep"),
    "integer": (b"a: " + b"9" * 5000, "has a number of 5,000 characters in line 1"),
    "hexadecimal": (b"\na: 0x" + b"f" * 5000, "has a number of 5,002 characters in line 2"),
    "sexagesimal": (b"a: 1" + b":59" * 5000, "has a number of 15,001 characters"),
    "lists of aliases": (LISTS.encode(), "has more than 20,000 values, with what its aliases stand for"),
    "mappings of aliases": (MERGED.encode(), "has more than 20,000 values"),
    "many values": (b"a: [" + b"1," * 20_001 + b"]", "has more than 20,000 values"),
    "large": (RANGE.encode() + b"#" * 2**20, "1,048,576 at most"),
}


@pytest.mark.parametrize("name", HAZARDS)
def test_a_search_space_that_would_run_away_is_a_fault(tmp_path: Path, name: str) -> None:
    data, part = HAZARDS[name]
    path = tmp_path / "space.yaml"
    path.write_bytes(data)
    space, (fault,) = load(path, {})
    assert len(space) == 0 and fault.path == str(path) and part in fault.message


@pytest.mark.parametrize(
    "name", ["utf-16", "mark before a header", "holds itself", "nested", "integer", "lists of aliases"]
)
def test_so_is_a_config_of_the_user_s_own(tmp_path: Path, name: str) -> None:
    data, part = HAZARDS[name]
    (tmp_path / "optimizer").mkdir()
    (tmp_path / "optimizer" / "mine.yaml").write_bytes(data)
    with pytest.raises(UserError) as caught:
        Composer((tmp_path,)).compose(["optimizer=mine"])
    assert [fault.path for fault in caught.value.faults] == [str(tmp_path / "optimizer" / "mine.yaml")]
    assert part in str(caught.value)


@pytest.mark.parametrize("text", ["a: !!int b", "a: !!timestamp 2001-99-99", "a: [b"])
def test_a_config_that_cannot_be_loaded_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "optimizer").mkdir()
    path = tmp_path / "optimizer" / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        Composer((tmp_path,)).compose(["optimizer=mine"])
    assert [fault.path for fault in caught.value.faults] == [str(path)]


def test_aliases_and_a_byte_order_mark_are_allowed(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text("\ufeffadapter.r: &r {choices: &c [4, 8]}\nadapter.lora_alpha: {choices: *c}\n", encoding="utf-8")
    space, faults = load(path, {})
    assert not faults and space.choices("adapter.lora_alpha") == (4, 8)


def test_shipped_files_have_no_faults() -> None:
    for folder in (conf_dir(), sweeps_dir()):
        for path in folder.rglob("*.yaml"):
            assert hazard(path) is None
