"""The report in a few lines: for the terminal, and for the study's own tracked run."""

from __future__ import annotations

from sweep.records import Completed, Cost, Failed, FinalRecord, Pruned
from sweep.report.facts import Facts, read
from sweep.report.headline import proportion
from sweep.report.inference import wilson
from sweep.report.tables import counted, ended, shown_metrics
from sweep.report.units import score, value
from sweep.store import Store


def summary_lines(store: Store) -> tuple[str, ...]:
    """What a user wants to see at the end of a study. Raises UserError as `write_report` does."""
    facts = read(store)
    trials = f"Trials    {len(counted(facts))} of {facts.study.n_trials}: {ended(facts)}"
    return (trials, *_winner(facts), *_scores(facts), f"Report    {store.root / 'report.html'} (and report.md)")


def study_summary(store: Store) -> dict[str, float | int | str]:
    """Flat and without gaps: `study/…` of the search, `cost/…` of all trials and the retraining, and of the winner `eval/…`,
    `test/…`, `baseline/…` and `params/…`."""
    facts = read(store)
    found: dict[str, float | int | str] = {"study/metric": facts.metric, "study/trials": len(facts.trials)}
    for kind, name in ((Completed, "completed"), (Pruned, "pruned"), (Failed, "failed")):
        found[f"study/{name}"] = sum(isinstance(trial.outcome, kind) for trial in facts.trials)
    final, best = facts.final, facts.best
    costs = [trial.outcome.cost for trial in facts.trials] + ([final.cost] if final else [])
    found |= sum(costs, Cost()).account
    if final is None and best is None:
        return found
    params = final.params if final else best.params if best else {}
    point = final.retrain_best if final else facts.best_eval(best) if best else None
    found["study/best_trial"] = final.number if final else best.number if best else -1
    found |= {f"params/{key}": chosen if chosen is not None else "null" for key, chosen in params.items()}
    found |= dict(point.metrics) if point else {}
    if final:
        found |= {**final.test, **{f"baseline/{name}": measured for name, measured in final.baseline.items()}}
        found["final/test_rows"] = final.test_rows
        found["final/parameters_total"] = final.parameters.total
        found["final/parameters_trainable"] = final.parameters.trainable
    return found


def _winner(facts: Facts) -> list[str]:
    if facts.final is None and facts.best is None:
        return ["Winner    none: no trial has completed"]
    number = facts.final.number if facts.final else facts.best.number if facts.best else -1
    params = facts.final.params if facts.final else facts.best.params if facts.best else {}
    chosen = [f"          {key}={value(setting)}" for key, setting in params.items()]
    return [f"Winner    trial {number}", *chosen]


def _scores(facts: Facts) -> list[str]:
    final = facts.final
    if final is None:
        scored = f"Scores    {facts.metric} {score(facts.score(facts.best))}" if facts.best else ""
        return [line for line in (scored, "          not retrained and tested yet") if line]
    names = shown_metrics(facts, [final.retrain_best.metrics, final.test])
    width = max(len(name) for name in names) + 2
    head = f"Scores    {'':{width}}{'validation':>12}{'test':>10}{'zero rule, test':>18}"
    return [head, *(_score(final, name, width) for name in names), *_interval(facts, final)]


def _score(final: FinalRecord, name: str, width: int) -> str:
    validation, test = final.retrain_best.metrics.get(f"eval/{name}"), final.test.get(f"test/{name}")
    rule = final.baseline.get(f"test/{name}")
    return f"          {name:{width}}{score(validation):>12}{score(test):>10}{score(rule):>18}"


def _interval(facts: Facts, final: FinalRecord) -> list[str]:
    name = proportion(facts)
    if f"test/{name}" not in final.test:
        return []
    low, high = wilson(final.test[f"test/{name}"], final.test_rows)
    return [f"          test {name}: 95 % interval {score(low)} to {score(high)} on {final.test_rows:,} rows"]
