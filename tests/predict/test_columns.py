from __future__ import annotations

from sweep.predict.columns import Added
from sweep.predict.predictions import Prediction


def test_a_rank_and_a_label_of_one_column_name_are_refused() -> None:
    (fault,) = Added(("0", "1"), several=False, every=True, top=1).faults(["text"])
    assert str(fault).startswith("--top: is 1, but --all has columns of these names too, for labels: probability_1;")
    assert not [*Added(("0", "1"), several=False, every=True).faults(["text"])]
    assert not [*Added(("0", "1"), several=False, top=2).faults(["text"])]


def test_each_column_has_its_value() -> None:
    added = Added(("0", "7"), several=False, every=True, top=1, prefix="p_")
    found = added.values(Prediction("7", 0.75, {"0": 0.25, "7": 0.75}))
    assert not [*added.faults(["text"])]
    assert found == {
        "p_label": "7", "p_probability": 0.75, "p_label_1": "7", "p_probability_1": 0.75, "p_probability_0": 0.25,
        "p_probability_7": 0.75,
    }  # fmt: skip
