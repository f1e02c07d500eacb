"""The report in a few lines: for the terminal, and for the study's own tracked run."""

from __future__ import annotations

from collections.abc import Sequence

from sweep.records.final import FinalRecord
from sweep.records.store import Store
from sweep.records.trial import Completed, Failed, Pruned
from sweep.report.facts import Facts, read
from sweep.report.scores import Line, against_guessing, intervals, lines
from sweep.report.tables import counted, ended, shown_metrics
from sweep.report.units import plural, score, searched_value


def summary_lines(store: Store) -> tuple[str, ...]:
    """What a user wants to see at the end of a study. Raises UserError as `write_report` does."""
    facts = read(store)
    return (
        f"Trials    {_of(len(counted(facts)), facts.study.n_trials)}: {ended(facts)}",
        *_winner(facts),
        *_scores(facts),
        f"Report    {store.root / 'report.html'} (and report.md)",
    )


def _of(done: int, wanted: int) -> str:
    """A study that went on for longer before may have more trials than its last command asks for."""
    return (
        f"{done} of {wanted}"
        if done <= wanted
        else f"{done}, {done - wanted} more than study.n_trials={wanted} asks for"
    )


def study_summary(store: Store) -> dict[str, float | int | str]:
    """Flat and without gaps: `study/…` of the search, `cost/…` of all that was trained, and of the winner `eval/…`,
    `test/…`, `baseline/…`, `params/…` and, where there was one, `refit/…`."""
    facts = read(store)
    found: dict[str, float | int | str] = {"study/metric": facts.metric, "study/trials": len(facts.trials)}
    for kind, name in ((Completed, "completed"), (Pruned, "pruned"), (Failed, "failed")):
        found[f"study/{name}"] = sum(isinstance(trial.outcome, kind) for trial in facts.trials)
    final, best = facts.final, facts.best
    found |= facts.spent.account
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
        found |= {**_account(final), **_refitted(final), **_chosen(final)}
    return found


def _account(final: FinalRecord) -> dict[str, float | int | str]:
    """The model before training, the thresholds it decides with, and its parameters."""
    found: dict[str, float | int | str] = {f"before/{name}": value for name, value in final.before.items()}
    found |= {f"tuned/{name}": value for name, value in final.tuned.items()}
    found |= {f"untuned/{name}": value for name, value in final.untuned.items()}
    found |= {
        f"thresholds/{name}": value for name, value in zip(final.label_names, final.thresholds or (), strict=False)
    }
    held = final.parameters
    found |= {"final/parameters_total": held.total, "final/parameters_trainable": held.trainable}
    found["final/parameters_bytes"] = held.bytes
    return found | {f"final/parameters_{name}": group.total for name, group in held.groups.items()}


def _refitted(final: FinalRecord) -> dict[str, float | int | str]:
    """`eval/…` is then of the retraining alone, and `test/…` of the refit; empty without."""
    if final.refit is None:
        return {}
    refit = final.refit
    found: dict[str, float | int | str] = {f"refit/{name}": getattr(refit, name) for name in ("rows", "steps")}
    found["refit/seconds"] = refit.cost.seconds
    return found | ({} if refit.cost.train_loss is None else {"refit/train_loss": refit.cost.train_loss})


def _chosen(final: FinalRecord) -> dict[str, float | int | str]:
    """The winner over fresh seeds; empty without."""
    if final.confirmation is None or not final.confirmation.candidates:
        return {}
    first = final.confirmation.candidates[0]
    found: dict[str, float | int | str] = {"confirmation/seeds": len(first.scores)}
    measured = {"mean": first.mean, "optimism": final.confirmation.optimism}
    found |= {f"confirmation/{name}": value for name, value in measured.items() if value is not None}
    if first.interval is not None:
        found |= dict(zip(("confirmation/low", "confirmation/high"), first.interval, strict=True))
    return found


def _winner(facts: Facts) -> list[str]:
    if facts.final is None and facts.best is None:
        return ["Winner    none: no trial has completed"]
    number = facts.final.number if facts.final else facts.best.number if facts.best else -1
    params = facts.final.params if facts.final else facts.best.params if facts.best else {}
    used = facts.winner.used if facts.winner else {}
    chosen = [f"          {key}={searched_value(params, used, key)}" for key in params]
    return [f"Winner    trial {number}", *chosen]


def _scores(facts: Facts) -> list[str]:
    final = facts.final
    if final is None:
        scored = f"Scores    {facts.metric} {score(facts.score(facts.best))}" if facts.best else ""
        return [line for line in (scored, "          not retrained and tested yet") if line]
    names = shown_metrics(facts, [final.retrain_best.metrics, final.test])
    width = max(len(line.model) for line in lines(facts, final)) + 2
    head = f"Scores    {'':12}{'':{width}}" + "".join(f"{name:>{_column(name)}}" for name in names)
    return [
        head,
        *(_line(line, names, width) for line in lines(facts, final)),
        *_seeds(final),
        *_interval(facts, final),
        *_refit(final),
    ]


def _line(line: Line, names: Sequence[str], width: int) -> str:
    cells = "".join(f"{score(line.metrics.get(name)):>{_column(name)}}" for name in names)
    return f"          {line.split:12}{line.model:{width}}{cells}"


def _column(name: str) -> int:
    return max(len(name), 6) + 2


def _seeds(final: FinalRecord) -> list[str]:
    if final.confirmation is None or not final.confirmation.candidates:
        return []
    first = final.confirmation.candidates[0]
    if first.mean is None:
        return ["          no fresh seed gave a score: the search's own chose the winner"]
    between = f", 95 % interval {score(first.interval[0])} to {score(first.interval[1])}" if first.interval else ""
    return [f"          validation mean {score(first.mean)} over {plural(len(first.scores), 'fresh seed')}{between}"]


def _refit(final: FinalRecord) -> list[str]:
    if final.refit is None:
        return []
    rows = f"train and validation rows ({final.refit.rows:,})"
    return [f"          test is of the model kept, refitted on {rows}; validation of the one before it"]


def _interval(facts: Facts, final: FinalRecord) -> list[str]:
    said = [
        f"          test {name}: 95 % interval {score(low)} to {score(high)} on {final.test_rows:,} rows"
        for name, _, (low, high) in intervals(facts, final)
    ]
    found = against_guessing(facts)
    if found is not None and found.better < 1:
        verdict = "worse than" if found.better else "no better than"
        said.append(
            f"          {verdict} guessing in {found.metric}: the {found.guess} scores {score(found.guess_value)}"
        )
    return said
