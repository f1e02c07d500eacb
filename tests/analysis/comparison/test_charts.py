from __future__ import annotations

from sweep.analysis.comparison.charts import charts
from sweep.analysis.comparison.comparison import compare


def test_bars_are_ordered_from_the_best_method_down(three):
    comparison = compare(three, samples=100)
    found = charts(comparison)
    assert [found.names[bar.place] for bar in found.scores[found.main]] == [one.name for one in comparison.ranked]
    assert all(bar.low <= bar.value <= bar.high for bars in found.scores.values() for bar in bars)


def test_the_front_joins_the_kept_methods_from_the_cheapest_on(three):
    for panel in charts(compare(three, samples=100)).pareto:
        assert list(panel.front) == sorted((spot.cost, spot.score.value) for spot in panel.spots if spot.kept)
        scores = [score for _, score in panel.front]
        assert scores == sorted(scores) and scores


def test_the_best_evaluation_of_a_loss_is_its_lowest(three):
    panel = next(one for one in charts(compare(three, samples=100)).curves if one.metric == "eval/loss")
    assert panel.series
    for course in panel.series:
        assert course.best[1] == min(value for _, value in course.points)
