from __future__ import annotations

import pytest
from sklearn.model_selection import train_test_split

from sweep.data.select import at_most, cut, every_nth

ALL = tuple(range(100))


def test_every_nth_starts_at_the_first():
    assert every_nth(7, 3) == (0, 3, 6)
    assert len(every_nth(550_152, 550)) == 1001


def test_a_sample_is_random_but_in_file_order():
    sample = at_most(ALL, 10, seed=0, stream="train")
    assert len(sample) == 10 and list(sample) == sorted(sample) and sample != ALL[:10]
    assert sample == at_most(ALL, 10, seed=0, stream="train")
    assert sample != at_most(ALL, 10, seed=1, stream="train") != at_most(ALL, 10, seed=1, stream="test")


def test_a_seed_means_the_same_rows_for_ever():
    assert at_most(ALL, 5, seed=7, stream="train") == (4, 19, 39, 54, 80)


@pytest.mark.parametrize(("limit", "size"), [(None, 100), (1, 1), (500, 100), (0.25, 25), (0.001, 1)])
def test_a_limit_is_a_count_or_a_share(limit, size):
    assert len(at_most(ALL, limit, seed=0, stream="train")) == size


@pytest.mark.parametrize("ratio", [0.2, 0.1, 0.07, 1 / 3, 0.5])
@pytest.mark.parametrize("count", [2, 10, 99, 10_003])
def test_a_cut_has_the_sizes_of_scikit_learn(ratio, count):
    train, validation = train_test_split(range(count), test_size=ratio)
    kept, cut_off = cut(tuple(range(count)), ratio, seed=0, labels=None)
    assert (len(kept), len(cut_off)) == (len(train), len(validation))
    assert sorted(kept + cut_off) == list(range(count))


def test_a_stratified_cut_keeps_proportions():
    labels = ["a"] * 60 + ["b"] * 30 + ["c"] * 10
    _, cut_off = cut(ALL, 0.2, seed=3, labels=labels)
    assert [sum(labels[index] == name for index in cut_off) for name in "abc"] == [12, 6, 2]


def test_a_stratified_cut_has_the_right_size_where_shares_are_not_whole():
    labels = [str(index % 7) for index in range(100)]
    _, cut_off = cut(ALL, 0.33, seed=3, labels=labels)
    assert len(cut_off) == 33 and {labels[index] for index in cut_off} == set("0123456")


@pytest.mark.parametrize(
    ("labels", "part"),
    [(["a"] * 9 + ["b"], "but b has one"), (["a", "b", "c", "d", "e"] * 2, "there are 9 and 1 rows")],
)
def test_labels_that_cannot_be_stratified(labels, part):
    with pytest.raises(ValueError, match=part):
        cut(tuple(range(10)), 0.1, seed=0, labels=labels)
