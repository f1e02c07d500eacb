"""The whole analysis of a study: one dataclass for the report, the terminal and scripts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sweep.analysis.calibration import Calibrated, calibrated
from sweep.analysis.cost import Spending, spending
from sweep.analysis.experiment import Experiment, experiment
from sweep.analysis.facts import Facts
from sweep.analysis.folds import Folds, folds
from sweep.analysis.generalisation import Generalisation, generalisation
from sweep.analysis.hyperparameters import Hyperparameters, hyperparameters
from sweep.analysis.limits import Limits, limits
from sweep.analysis.out_of_fold import OutOfFold, out_of_fold
from sweep.analysis.outlook import Outlook, outlook
from sweep.analysis.pareto import ParetoSet, pareto
from sweep.analysis.published import Published, published
from sweep.analysis.repeat import Repeating, repeating
from sweep.analysis.scores import TestScores, scores
from sweep.analysis.selection import Selection, selection
from sweep.analysis.trials import Progress, Trials, progress, trials
from sweep.analysis.winner import Overtaken, Winner, overtaken, winner
from sweep.records.counted import counting
from sweep.records.final import Parameters
from sweep.records.spent import Limited, Spent, limited

SCHEMA_VERSION = 1
State = Literal["running", "interrupted", "finished"]


@dataclass(frozen=True, slots=True)
class Study:
    """`state` is `running` while a process trains the study, and else `interrupted` where its own
    command would go on. `alone` says that one training run was wanted, without a search.
    `missing` names what the study still lacks: `retraining`, `refit`, `predictions`. A part that
    the records do not allow yet is None."""

    schema_version: int
    name: str
    run_dir: str
    state: State
    metric: str
    direction: str
    alone: bool
    missing: tuple[str, ...]
    progress: Progress
    winner: Winner | None
    overtaken: Overtaken | None
    scores: TestScores | None
    experiment: Experiment
    parameters: Parameters | None
    trials: Trials
    pareto: ParetoSet | None
    limits: Limits | None
    hyperparameters: Hyperparameters | None
    outlook: Outlook | None
    selection: Selection | None
    generalisation: Generalisation | None
    calibration: Calibrated | None
    cost: Spending | None
    budget: tuple[Limited, ...]
    published: Published | None
    repeating: Repeating
    folds: Folds | None = None
    out_of_fold: OutOfFold | None = None

    @property
    def tested(self) -> bool:
        """Return whether the winner was retrained and tested."""
        return self.scores is not None


def analyse(facts: Facts) -> Study:
    """Return everything that the records of a run directory say."""
    seen = outlook(facts)
    return Study(
        schema_version=SCHEMA_VERSION,
        name=facts.name,
        run_dir=str(facts.config.run_dir),
        state=_state(facts),
        metric=facts.metric,
        direction=facts.study.direction,
        alone=facts.alone,
        missing=_missing(facts),
        progress=progress(facts, stopped=seen is not None and seen.stopped is not None),
        winner=winner(facts),
        overtaken=overtaken(facts),
        scores=scores(facts),
        experiment=experiment(facts),
        parameters=facts.final.parameters if facts.final else None,
        trials=trials(facts),
        pareto=pareto(facts),
        limits=limits(facts),
        hyperparameters=hyperparameters(facts),
        outlook=seen,
        selection=selection(facts),
        generalisation=generalisation(facts),
        calibration=calibrated(facts),
        cost=spending(facts),
        budget=limited(facts.study.budget, facts.used_up or Spent()),
        published=published(facts),
        repeating=repeating(facts),
        folds=folds(facts),
        out_of_fold=out_of_fold(facts),
    )


def _state(facts: Facts) -> State:
    """Return whether the study runs, was interrupted, or has ended. One that ended before its
    last trial, by `study.timeout`, `study.budget` or `study.stop`, was tested and has no trial
    half done."""
    if facts.running:
        return "running"
    without_winner = len(counting(facts.trials)) >= facts.wanted and not any(trial.best for trial in facts.trials)
    lacks = not without_winner and ("retraining" in _missing(facts) or "refit" in _missing(facts))
    return "interrupted" if lacks or facts.unfinished or facts.put_away else "finished"


def _missing(facts: Facts) -> tuple[str, ...]:
    final, wanted = facts.final, facts.config.refits
    lacks = {
        "retraining": final is None,
        "refit": wanted and (final is None or final.refit is None),
        "predictions": final is not None and not facts.predictions,
    }
    return tuple(name for name, lacking in lacks.items() if lacking)
