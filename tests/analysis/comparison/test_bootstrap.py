from __future__ import annotations

import time

import numpy as np
import pytest
from sklearn.metrics import f1_score

from sweep.analysis.comparison.bootstrap import resample
from sweep.analysis.comparison.outcomes import Outcomes


def outcomes(rows: int, labels: int, shares: dict[str, float], seed: int = 3) -> Outcomes:
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, labels, rows)
    marks = np.eye(labels, dtype=bool)
    found = {
        name: np.where(generator.random(rows) < share, truth, generator.integers(0, labels, rows))
        for name, share in shares.items()
    }
    return Outcomes("single_label", marks[truth], {name: marks[one] for name, one in found.items()})


def brute_force(found: Outcomes, samples: int) -> np.ndarray:
    """Rows drawn one by one, scored by scikit-learn: differences of macro F1, (samples,)."""
    truth, first, second = (one.argmax(axis=1) for one in (found.truth, *found.predicted.values()))
    generator = np.random.default_rng(11)
    gaps = []
    for _ in range(samples):
        rows = generator.integers(0, len(truth), len(truth))
        scores = [f1_score(truth[rows], one[rows], average="macro") for one in (first, second)]
        gaps.append(scores[0] - scores[1])
    return np.array(gaps)


def test_it_agrees_with_drawing_rows_one_by_one():
    found = outcomes(200, 3, {"a": 0.9, "b": 0.7})
    difference = resample(found, ["f1_macro"], samples=4000, seed=0).difference("a", "b", "f1_macro")
    slow = brute_force(found, 200)
    assert difference.interval == pytest.approx(np.percentile(slow, (2.5, 97.5)), abs=0.03)
    assert difference.value == pytest.approx(slow.mean(), abs=0.01)


def test_accuracy_spreads_as_theory_says():
    found = resample(outcomes(500, 4, {"a": 0.8}), ["accuracy"], samples=5000, seed=0)
    share = found.seen["a"]["accuracy"]
    assert found.drawn["a"]["accuracy"].std() == pytest.approx((share * (1 - share) / 500) ** 0.5, rel=0.05)


def test_a_clear_difference_is_significant():
    found = resample(outcomes(400, 3, {"a": 0.95, "b": 0.5}), ["f1_macro"], samples=1000, seed=0)
    difference = found.difference("a", "b", "f1_macro")
    assert difference.p == pytest.approx(2 / 1001) and difference.interval[0] > 0


def test_false_alarms_are_as_rare_as_promised():
    alarms = 0
    for seed in range(150):
        found = resample(outcomes(200, 3, {"a": 0.5, "b": 0.5}, seed), ["f1_macro"], samples=200, seed=0)
        alarms += found.difference("a", "b", "f1_macro").p < 0.05
    assert 1 <= alarms <= 18


def test_a_method_does_not_differ_from_its_twin():
    found = outcomes(100, 3, {"a": 0.8})
    twins = Outcomes("single_label", found.truth, {"a": found.predicted["a"], "b": found.predicted["a"]})
    difference = resample(twins, ["f1_macro"], samples=200, seed=0).difference("a", "b", "f1_macro")
    assert (difference.value, difference.interval, difference.p) == (0.0, (0.0, 0.0), 1.0)


def test_the_same_seed_gives_the_same_draws_and_another_does_not():
    found = outcomes(100, 3, {"a": 0.8})
    first, again, other = (
        resample(found, ["f1_macro"], samples=50, seed=seed).drawn["a"]["f1_macro"] for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again) and not np.array_equal(first, other)


@pytest.mark.slow
def test_banking77_in_seconds():
    started = time.perf_counter()
    resample(outcomes(3080, 77, {"a": 0.93, "b": 0.9, "c": 0.85}), ["accuracy", "f1_macro"], samples=10_000, seed=0)
    assert time.perf_counter() - started < 10
