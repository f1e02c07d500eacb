from __future__ import annotations

from typing import Any

import pytest

from sweep.config.schema import DatasetConfig
from sweep.data.columns import Columns
from sweep.data.label_encoder import encoder, unknown_labels


def stored(*labels: str) -> Columns:
    return Columns(("text",) * len(labels), None, tuple((label,) for label in labels))


def names(*labels: str, **config: Any) -> tuple[str, ...]:
    made, faults = encoder(DatasetConfig(**config), stored(*labels))
    assert not faults
    return made.space.names


def test_labels_are_sorted():
    assert names("b", "a", "Z", "b") == ("Z", "a", "b")
    assert names("10", "9", "0") == ("0", "9", "10")
    assert names("10", "09", "1") == ("09", "1", "10")  # "09" is a name, and so are all


def test_an_order_can_be_given():
    made, faults = encoder(DatasetConfig(label_names=("b", "c", "a")), stored("a", "b"))
    assert not faults and made.label(("a",)) == 2 and len(made.space) == 3


def test_numbers_can_be_given_names():
    made, faults = encoder(DatasetConfig(label_names=("negative", "positive")), stored("1", "0"))
    assert not faults and made.space.names == ("negative", "positive") and made.label(("1",)) == 1


def test_numbers_in_the_names_are_names():
    made, _ = encoder(DatasetConfig(label_names=("1", "0")), stored("0", "1"))
    assert made.label(("1",)) == 0


def test_several_labels_are_flags():
    columns = Columns(("text",) * 2, None, (("joy", "fear"), ()))
    made, faults = encoder(DatasetConfig(task="multi_label", label_names=("fear", "joy", "love")), columns)
    assert not faults and made.label(("joy",)) == (0, 1, 0) and made.label(()) == (0, 0, 0)


def test_unknown_labels_are_named_once_a_split():
    config = DatasetConfig()
    made, _ = encoder(config, stored("a", "b"))
    found = unknown_labels(config, made, {"train": stored("a"), "test": stored("a", "x", "x", "y")})
    assert len(found) == 1 and found[0].path == "dataset.label_column"
    assert "unknown label: 'x' (row 2 of test), 'y' (row 4 of test); train has: a, b" in found[0].message


@pytest.mark.parametrize(
    ("labels", "config", "part"),
    [
        (("a", "a"), {}, "fewer than two labels in train: a"),
        (("a", "b"), {"label_names": ("a", "b", "a")}, "names a more than once"),
        (tuple(f"id{i}" for i in range(30)), {}, "another label in each of the 30 rows"),
    ],
)
def test_no_label_space(labels, config, part):
    _, (fault,) = encoder(DatasetConfig(**config), stored(*labels))
    assert part in fault.message


def test_label_columns_need_no_names():
    columns = Columns(("text",), None, (("joy",),), names=("joy", "fear"))
    _, (fault,) = encoder(
        DatasetConfig(task="multi_label", label_columns=("joy", "fear"), label_names=("fear", "joy")), columns
    )
    assert fault.path == "dataset.label_names"
