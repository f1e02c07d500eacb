"""Cuts by time."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from sweep.config.schema import DatasetConfig
from sweep.data.splits import load_splits
from sweep.data.times import NotATimeError, cut_into_blocks, cut_newest, moments


def load(folder, **config):
    return load_splits(DatasetConfig(path=str(folder), **config))


def dated(rows_of, count=40, start=0):
    """Rows whose days are not in the order of the file."""
    day = date(2024, 1, 1)
    return [
        {**row, "day": (day + timedelta(days=start + i * 7 % count)).isoformat()}
        for i, row in enumerate(rows_of(count, start=start))
    ]


def test_times_are_dates_moments_texts_and_epochs():
    texts = moments(["2024-05-31", "2024-05-31T12:00:00Z", "2024-05-31 13:00:00+02:00", " 20240601 "])
    assert sorted(texts, key=lambda one: one.value) == [texts[0], texts[2], texts[1], texts[3]]
    assert [one.value for one in moments(["17", "16.5", "1e3"])] == [17, 16.5, 1000]
    assert [one.value for one in moments([Decimal("17.25"), Decimal(2**64)])] == [17.25, 2**64]
    typed = moments([date(2024, 5, 31), datetime(2024, 5, 31, 1, tzinfo=UTC), datetime(2024, 5, 31, 2)])
    assert [one.value - typed[0].value for one in typed] == [0, 3600, 7200]


@pytest.mark.parametrize(
    ("cell", "rule"),
    [("", "no time"), (None, "no time"), ("31/05/2024", "neither an ISO 8601"), (True, "True"), (float("nan"), "nan")],
)
def test_a_cell_without_a_time_is_named(cell, rule):
    with pytest.raises(NotATimeError, match=rule) as found:
        moments(["2024-05-31", cell])
    assert found.value.index == 1


def test_an_epoch_among_dates_is_no_time():
    with pytest.raises(NotATimeError, match="1717113600"):
        moments(["2024-05-31", "1717113600"])


def test_rows_of_one_time_are_on_one_side():
    times = dict(enumerate(moments([1, 1, 1, 2, 2, 2, 2, 3])))
    assert cut_newest(tuple(times), 2, times)[1] == (7,)
    assert cut_newest(tuple(times), 4, times)[1] == (3, 4, 5, 6, 7)
    with pytest.raises(ValueError, match="needs 2 times, but 3 rows have 1"):
        cut_newest((0, 1, 2), 1, times)


def test_blocks_are_of_about_one_size_and_none_is_empty():
    times = dict(enumerate(moments([5, 1, 2, 3, 4, 5, 6, 5, 5])))
    blocks = cut_into_blocks(tuple(times), 4, times)
    assert all(blocks) and sorted(sum(blocks, ())) == list(times)
    newest = [max(times[index] for index in block) for block in blocks]
    assert newest == sorted(newest)
    with pytest.raises(ValueError, match="needs 7 times, but 9 rows have 6"):
        cut_into_blocks(tuple(times), 7, times)


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_the_newest_rows_are_the_test_split_and_those_before_the_validation_split(folder, write, rows_of, ending):
    rows = dated(rows_of)
    write(f"train.{ending}", rows)
    splits = load(folder, time_column="day", test_split=None, validation_ratio=0.5, test_ratio=0.5)
    assert splits.state.division.by == "time" and splits.warnings == ()
    assert dict(splits.state.division.ranges) == {
        "train": ("2024-01-01", "2024-01-20"),
        "validation": ("2024-01-21", "2024-01-30"),
        "test": ("2024-01-31", "2024-02-09"),
    }


def test_parquet_keeps_its_own_times(folder, write, rows_of):
    write("train.parquet", [{**row, "at": datetime(2024, 1, 1, i, tzinfo=UTC)} for i, row in enumerate(rows_of(20))])
    splits = load(folder, time_column="at", test_split=None)
    assert splits.state.division.ranges["validation"][0] == "2024-01-01 16:00:00+00:00"


def test_a_stored_test_split_that_is_not_newer_is_named(folder, write, rows_of):
    write("train.csv", dated(rows_of))
    write("test.csv", dated(rows_of, count=10, start=27))
    splits = load(folder, time_column="day")
    assert "5 of 10 test rows are not newer than the newest train row (day 2024-02-01)" in " ".join(splits.warnings)


def test_a_row_without_a_time_is_named(folder, write, rows_of, only_fault):
    rows = dated(rows_of)
    rows[6]["day"] = ""
    write("train.csv", rows)
    fault = only_fault(folder, time_column="day", test_split=None)
    assert fault.path == "dataset.time_column" and "is day, which holds no time in row 7 of train" in fault.message


def test_rows_of_one_day_alone_cannot_be_cut(folder, write, rows_of, only_fault):
    write("train.csv", [{**row, "day": "2024-01-01"} for row in rows_of(20)])
    fault = only_fault(folder, time_column="day", test_split=None)
    assert "by which no rows can be held out: a cut needs 2 times, but 20 rows have 1" in fault.message
