from __future__ import annotations

import math
from dataclasses import replace

from sweep.config.objective import Objective
from sweep.records.cost import Cost
from sweep.records.events import line_of
from sweep.records.trial import Completed, EvalPoint, Pruned, TrialRecord, ranked


def test_the_last_tie_goes_to_the_point_that_was_asked_for_first() -> None:
    """Whatever number its trial has: after a stop it is a higher one."""
    point = EvalPoint(1, 4, 1.0, {"eval/accuracy": 0.5, "eval/loss": 1.0})

    def record(number: int, place: int | None) -> TrialRecord:
        return TrialRecord(number, {}, Completed(point, (point,), Cost()), "", 4, "", "", place=place)

    def order(*records: TrialRecord) -> list[int]:
        return [one.number for one in ranked(records, Objective("eval/accuracy", maximize=True))]

    assert order(record(1, 1), record(2, 0), record(3, 2)) == [2, 1, 3]
    assert order(record(1, None), record(2, 0), record(3, None)) == [2, 1, 3], "records of earlier versions"


def test_an_objective_is_of_the_best_evaluation_or_of_the_whole_trial() -> None:
    point = EvalPoint(1, 4, 1.0, {"eval/accuracy": 0.5, "eval/ece": 0.1}, {"cost/seconds": 2.0})
    cost = Cost(seconds=7.0, trained_parameters=12)
    record = TrialRecord(0, {}, Completed(point, (point,), cost), "", 4, "", "")
    seconds, size = Objective("cost/seconds", maximize=False), Objective("parameters/trained", maximize=False)
    assert (record.value(seconds), record.value(size)) == (7.0, 12.0)
    assert record.value(Objective("eval/ece", maximize=False)) == 0.1
    assert (point.value(seconds), point.value(Objective("eval/accuracy", maximize=True))) == (2.0, 0.5)
    assert math.isnan(replace(record, outcome=Pruned((point,), cost)).value(seconds))


def test_measured_values_of_an_evaluation_are_in_no_row_and_do_not_tell_rows_apart() -> None:
    point = EvalPoint(1, 4, 1.0, {"eval/accuracy": 0.5}, {"cost/seconds": 2.0})
    assert "cost/seconds" not in line_of(point) and point == replace(point, measured={})
