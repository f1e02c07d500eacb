"""The tables that several sections are made of."""

from __future__ import annotations

from collections.abc import Sequence

from sweep.config.metrics import metric_names
from sweep.config.schema import Task
from sweep.records.trial import Completed, Cost, Failed, Metrics, Pruned, TrialRecord
from sweep.report.facts import Facts, Point
from sweep.report.markdown import code, escape, table
from sweep.report.units import MISSING, count, score, searched_value, signed, value

_SHOWN: dict[Task, tuple[str, ...]] = {
    "single_label": ("loss", "accuracy", "f1_weighted", "f1_macro"),
    "multi_label": ("loss", "subset_accuracy", "jaccard", "f1_micro", "f1_macro"),
}
_STATES = {"out_of_memory": "out of memory", "timed_out": "timed out"}


def shown_metrics(facts: Facts, found: Sequence[Metrics]) -> tuple[str, ...]:
    """Short names of the recorded metrics that summaries show: the objective first, then the task's main ones."""
    objective = facts.metric.removeprefix("eval/")
    names = dict.fromkeys([objective, *_SHOWN[facts.config.dataset.task]])
    recorded = {name.partition("/")[2] for metrics in found for name in metrics}
    return tuple(name for name in names if name in recorded)


def every_metric(facts: Facts, found: Sequence[Metrics]) -> tuple[str, ...]:
    recorded = {name.partition("/")[2] for metrics in found for name in metrics}
    return tuple(name for name in metric_names(facts.config.dataset) if name in recorded)


def trials(facts: Facts) -> str:
    """One row a trial: best score and its epoch, end, seconds, searched values."""
    columns = ["trial", facts.metric, "epoch", "ended", "seconds", *(facts.title(key) for key in facts.searched)]
    return table(columns, (_trial(facts, trial) for trial in facts.trials))


def state(trial: TrialRecord) -> str:
    return _STATES.get(trial.state, trial.state)


def evaluations(facts: Facts, points: Sequence[Point]) -> str:
    """One row an evaluation, the best in bold."""
    names = [f"eval/{name}" for name in _evaluation_metrics(facts, points)]
    best = facts.study.objective.best(points, lambda point: point.eval.metrics)
    rows = []
    for point in points:
        cells = [f"{point.eval.epoch:.4g}", count(point.eval.step), score(point.train_loss)]
        cells += [score(point.metric(name)) for name in names]
        rows.append([f"**{cell}**" for cell in cells] if point is best else cells)
    return table(["epoch", "step", "train/loss", *names], rows)


def side_by_side(facts: Facts, trial: Sequence[Point], retrain: Sequence[Point]) -> str:
    """The same evaluations measured twice; a run that ended sooner leaves dashes."""
    names = list(dict.fromkeys(["eval/loss", facts.metric]))
    columns = ["epoch", "step"]
    for name in names:
        columns += [f"{name}, trial", "retrained", "difference"]
    rows = []
    for index in range(max(len(trial), len(retrain))):
        pair = (
            trial[index] if index < len(trial) else None,
            retrain[index] if index < len(retrain) else None,
        )
        known = pair[0] or pair[1]
        assert known is not None
        cells = [f"{known.eval.epoch:.4g}", count(known.eval.step)]
        for name in names:
            first, second = (point.metric(name) if point else None for point in pair)
            difference = second - first if first is not None and second is not None else None
            cells += [score(first), score(second), signed(difference)]
        rows.append(cells)
    return table(columns, rows)


def space(facts: Facts) -> str:
    rows = []
    for key, spec in facts.lock.space.items():
        spec = spec if isinstance(spec, dict) else {"choices": [spec]}
        rows.append([code(key), escape(_domain(spec)), escape(_scale(spec)), escape(_condition(spec))])
    columns = ["config key", "searched", "scale", "only when"]
    conditional = any(row[-1] for row in rows)
    return table(columns, rows) if conditional else table(columns[:-1], [row[:-1] for row in rows])


def key_values(pairs: Sequence[tuple[str, str]]) -> str:
    return table(["what", "value"], pairs)


def _trial(facts: Facts, trial: TrialRecord) -> list[str]:
    best, mark, cost = facts.best_eval(trial), facts.mark(trial), trial.outcome.cost
    took = MISSING if cost == Cost() else f"{cost.seconds:,.1f}"  # of a trial that was lost or never began
    cells = [f"{trial.number} ({mark})" if mark else str(trial.number), score(facts.score(trial))]
    cells += [f"{best.epoch:.4g}" if best else MISSING, escape(state(trial)), took]
    cells += [_searched(trial, key) for key in facts.searched]
    return [f"**{cell}**" for cell in cells] if trial is facts.winner else cells


def _searched(trial: TrialRecord, key: str) -> str:
    return escape(searched_value(trial.params, trial.used, key)) if key in trial.params else MISSING


def _evaluation_metrics(facts: Facts, points: Sequence[Point]) -> list[str]:
    names = shown_metrics(facts, [point.eval.metrics for point in points])
    return sorted(names, key=lambda name: name != "loss")


def _domain(spec: dict[str, object]) -> str:
    choices = spec.get("choices")
    if isinstance(choices, list | tuple):
        return "one of " + ", ".join(value(choice) for choice in choices)
    low, high, step = spec.get("low"), spec.get("high"), spec.get("step")
    ends = f"{low} to {high}"
    return f"{ends} in steps of {step}" if step else ends


def _scale(spec: dict[str, object]) -> str:
    if "choices" in spec:
        return "choice"
    return "logarithmic" if spec.get("log") else "linear"


def _condition(spec: dict[str, object]) -> str:
    when = spec.get("when")
    if not isinstance(when, dict):
        return ""
    return " and ".join(
        f"{key} is {' or '.join(map(str, wanted)) if isinstance(wanted, list | tuple) else wanted}"
        for key, wanted in when.items()
    )


def ended(facts: Facts) -> str:
    """How many trials ended how: `4 completed, 1 pruned, 1 failed (1 diverged), 1 to be tried again (1 lost)`."""
    kinds = {kind: [t for t in counted(facts) if isinstance(t.outcome, kind)] for kind in (Completed, Pruned, Failed)}
    reasons: dict[str, int] = {}
    for trial in kinds[Failed]:
        reasons[state(trial)] = reasons.get(state(trial), 0) + 1
    why = ", ".join(f"{number} {reason}" for reason, number in sorted(reasons.items()))
    failed = f"{len(kinds[Failed])} failed" + (f" ({why})" if why else "")
    stopped = len(facts.trials) - len(counted(facts))
    again = f"; {stopped} stopped on the way" if stopped else ""
    return f"{len(kinds[Completed])} completed, {len(kinds[Pruned])} pruned, {failed}{again}"


def counted(facts: Facts) -> list[TrialRecord]:
    """Without the trials that were stopped and tried again, which do not count towards `study.n_trials`."""
    return [t for t in facts.trials if not (isinstance(t.outcome, Failed) and t.outcome.again)]
