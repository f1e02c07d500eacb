"""Every pair of methods on the same test rows, in tables and words."""

from __future__ import annotations

from sweep.report.comparison.comparison import ALPHA, Comparison, Pair
from sweep.report.comparison.significance import EXACT_BELOW
from sweep.report.markdown import escape, join, table
from sweep.report.units import count, plural, signed


def paired(comparison: Comparison) -> str:
    return join([_words(comparison), _mcnemar(comparison), *(_gaps(comparison, name) for name in comparison.metrics
                 if name != comparison.proportion)])  # fmt: skip


def p_value(p: float) -> str:
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}"


def _words(comparison: Comparison) -> str:
    pairs = plural(len(comparison.pairs), "pair")
    return (
        f"All methods answered the same {count(comparison.outcomes.rows)} test rows, so that they are compared row by row. "
        f"p-values are corrected after Holm (1979) over the {pairs}, metric by metric; below {ALPHA} a difference counts "
        "as significant. Intervals are 95 % and not corrected. All of it speaks of the draw of test rows for these trained "
        "models: training again with another seed moves the scores as well."
    )


def _mcnemar(comparison: Comparison) -> str:
    rows, interval = [], ["95 % interval"] if comparison.proportion in comparison.metrics else []
    for pair in comparison.pairs:
        test = pair.mcnemar
        kind = "exact" if test.exact else "chi-square"
        verdict = "yes" if pair.p < ALPHA else "no"
        names = [escape(pair.first), escape(pair.second)]
        rows.append([*names, count(test.first_only), count(test.second_only), *_gap(comparison, pair),
                     p_value(test.p), p_value(pair.p), kind, verdict])  # fmt: skip
    columns = ["A", "B", "only A right", "only B right", "A − B", *interval, "p", "p, Holm", "test", "significant"]
    said = (
        f"Of {comparison.proportion}, by McNemar's test (1947): exact binomial where fewer than {EXACT_BELOW} rows are "
        "right in one method alone, else chi-square with Edwards' continuity correction (1948)."
    )
    return join([said, table(columns, rows)])


def _gap(comparison: Comparison, pair: Pair) -> list[str]:
    """The difference, and the bootstrap's interval of it where that was asked for."""
    gap = signed((pair.mcnemar.first_only - pair.mcnemar.second_only) / comparison.outcomes.rows)
    spans = [one.interval for one in pair.differences if one.metric == comparison.proportion]
    return [gap, *(_span(span) for span in spans)]


def _span(interval: tuple[float, float]) -> str:
    return f"{signed(interval[0])} to {signed(interval[1])}"


def _gaps(comparison: Comparison, name: str) -> str:
    rows, place = [], comparison.metrics.index(name)
    for pair in comparison.pairs:
        gap, p = pair.differences[place], pair.corrected[place]
        verdict = "yes" if p < ALPHA else "no"
        names = [escape(pair.first), escape(pair.second)]
        rows.append([*names, signed(gap.value), _span(gap.interval), p_value(gap.p), p_value(p), verdict])
    columns = ["A", "B", "A − B", "95 % interval", "p", "p, Holm", "significant"]
    said = f"Of {name}, by the paired bootstrap (Koehn, 2004) over {count(comparison.samples)} resamples:"
    return join([said, table(columns, rows)])
