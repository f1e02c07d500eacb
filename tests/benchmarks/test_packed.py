"""The tables of the comparisons of packed trials."""

from __future__ import annotations

from benchmarks.sides import Event, Side, Trial

from benchmarks import packed, packed_gpu


def side(trials: int, seconds: float, *, process: float) -> Side:
    timeline = tuple(Event("step", number, index + seconds, rows=8) for index in range(3) for number in range(trials))
    return Side(
        seconds,
        process,
        seconds,
        (Trial(64, 16, 0.5, 2.0, 1.5),) * trials,
        timeline,
        "packed",
        "cpu",
        threads=1,
        peak_device_bytes=0,
    )


def test_a_baseline_in_part_is_put_in_proportion_and_says_so() -> None:
    theirs = {"dynamic": [side(8, 100.0, process=110.0)], "padded": [side(2, 60.0, process=70.0)]}
    rows, notes = packed.summary([side(8, 20.0, process=30.0)], theirs, "packed")
    assert [row.median for row in rows] == [20.0, 30.0, 100.0, 110.0, 240.0, 250.0]
    assert [row.name for row in rows][-2:] == [
        "Trainer, padded to 128: 8 trials, by 2",
        "Trainer, padded to 128: whole process, by 2",
    ]
    assert notes["Trainer, padded to 128"] == "2 of 8 trials were run, and put in proportion"
    assert "Trainer, dynamic padding" not in notes
    assert notes["Trainer, dynamic padding / sweep, search alone"] == 5.0
    assert notes["Trainer, padded to 128 / sweep, search alone"] == 12.0


def test_rows_a_second_and_makespan() -> None:
    rows, notes = packed_gpu.summary("nf4", [side(4, 10.0, process=20.0)], [side(2, 30.0, process=40.0)])
    assert [row.median for row in rows[:4]] == [10.0, 60.0, 4 * 8.0, 8.0 * 2]
    assert notes["nf4: makespan, Trainer / sweep (wanted 7.5)"] == 6.0
    assert notes["nf4: Trainer"] == "2 of 4 trials were run, and their makespan put in proportion"
