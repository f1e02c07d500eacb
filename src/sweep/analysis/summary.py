"""The numbers of a study in one flat mapping, for its own run on the dashboard."""

from __future__ import annotations

from sweep.analysis.facts import Facts
from sweep.analysis.outlook import outlook
from sweep.analysis.pareto import pareto
from sweep.analysis.trials import progress
from sweep.records.final import FinalRecord

Summary = dict[str, float | int | str]


def study_summary(facts: Facts) -> Summary:
    """Return `study/…` of the search, with the numbers of trials as in the report, `cost/…` of all
    that was trained, and of the winner `eval/…`, `test/…`, `baseline/…`, `params/…` and, where
    there was one, `refit/…`, without gaps."""
    held = progress(facts)
    found: Summary = {
        "study/metric": facts.metric, "study/trials": held.counted, "study/completed": held.completed,
        "study/pruned": held.pruned, "study/failed": held.failed, "study/stopped": held.stopped,
        "study/paused": len(held.paused), "study/put_away": len(held.put_away),
    }  # fmt: skip
    final, best = facts.final, facts.best
    found |= facts.spent.account | _outlook(facts) | _warm_start(facts)
    if final is None and best is None:
        return found
    params = final.params if final else best.params if best else {}
    point = facts.best_eval(best) if best and not final else None
    found["study/best_trial"] = final.number if final else best.number if best else -1
    found |= {f"params/{key}": chosen if chosen is not None else "null" for key, chosen in params.items()}
    found |= final.validation if final else point.metrics if point else {}
    found |= _two_objectives(facts)
    if final:
        found |= {**final.test, **{f"baseline/{name}": measured for name, measured in final.baseline.items()}}
        found["final/test_rows"] = final.test_rows
        found |= {**_account(final), **_refitted(final), **_calibrated(final), **_chosen(final)}
    return found


def _two_objectives(facts: Facts) -> Summary:
    """Return the second objective with the winner's value, and the number of trials in the Pareto
    set; empty with one objective."""
    held = pareto(facts)
    if held is None:
        return {}
    found: Summary = {"study/second_metric": held.second, "study/pareto_trials": len(held.kept)}
    return found | ({"study/second_value": held.lead.second} if held.lead else {})


def _outlook(facts: Facts) -> Summary:
    """Return the gain that more trials are expected to bring, where it is known, and the trials
    that `study.stop` saved."""
    found: Summary = {}
    seen = outlook(facts)
    if seen is None:
        return found
    for one in seen.groups:
        place = "" if one.choice is None else f"/{one.choice}"
        if one.expected is not None and one.chance is not None:
            found[f"outlook/expected_gain{place}"] = one.expected
            found[f"outlook/chance{place}"] = one.chance
        found[f"outlook/more_trials_pay{place}"] = one.pays
    if seen.stopped is not None:
        found |= {"outlook/stopped_by": seen.stopped.rule, "outlook/trials_saved": seen.stopped.trials}
        found["outlook/trials_left_paused"] = seen.stopped.paused
    return found


def _warm_start(facts: Facts) -> Summary:
    """Return the numbers of trials and points that were taken over from other studies; empty
    without any."""
    runs = facts.warm_start
    if not runs:
        return {}
    return {
        "warm_start/runs": len(runs),
        "warm_start/trials": sum(len(run.trials) for run in runs),
        "warm_start/points": sum(len(run.points) for run in runs),
    }


def _account(final: FinalRecord) -> Summary:
    """Return the scores before training and at tuned and untuned thresholds, the thresholds, and
    the numbers of parameters."""
    found: Summary = {f"before/{name}": value for name, value in final.before.items()}
    found |= {f"tuned/{name}": value for name, value in final.tuned.items()}
    found |= {f"untuned/{name}": value for name, value in final.untuned.items()}
    found |= {
        f"thresholds/{name}": value for name, value in zip(final.label_names, final.thresholds or (), strict=False)
    }
    held = final.parameters
    found |= {"final/parameters_total": held.total, "final/parameters_trainable": held.trainable}
    found["final/parameters_bytes"] = held.bytes
    return found | {f"final/parameters_{name}": group.total for name, group in held.groups.items()}


def _refitted(final: FinalRecord) -> Summary:
    """Return the rows, the steps and the cost of the refit; empty without one. With a refit,
    `eval/…` is of the retraining alone, and `test/…` of the refit."""
    if final.refit is None:
        return {}
    refit = final.refit
    found: Summary = {f"refit/{name}": getattr(refit, name) for name in ("rows", "steps")}
    found["refit/seconds"] = refit.cost.seconds
    return found | ({} if refit.cost.train_loss is None else {"refit/train_loss": refit.cost.train_loss})


def _calibrated(final: FinalRecord) -> Summary:
    """Return the temperature, the limit at which it stopped, if it did, and the expected
    calibration error before and after; empty without a calibration."""
    known = final.calibration
    if known is None:
        return {}
    sides = {
        "validation_before": known.before, "validation_after": known.after, "test_before": known.test_before,
        "test_after": known.test_after,
    }  # fmt: skip
    found: Summary = {f"calibration/ece_{name}": side.ece for name, side in sides.items() if side is not None}
    stopped: Summary = {} if known.stopped_at is None else {"calibration/stopped_at": known.stopped_at}
    return {"calibration/temperature": known.temperature, **stopped, **found}


def _chosen(final: FinalRecord) -> Summary:
    """Return the winner's scores over fresh seeds; empty without fresh seeds."""
    if final.confirmation is None or not final.confirmation.candidates:
        return {}
    first = final.confirmation.candidates[0]
    found: Summary = {"confirmation/seeds": len(first.scores)}
    measured = {"mean": first.mean, "optimism": final.confirmation.optimism}
    found |= {f"confirmation/{name}": value for name, value in measured.items() if value is not None}
    if first.interval is not None:
        found |= dict(zip(("confirmation/low", "confirmation/high"), first.interval, strict=True))
    return found
