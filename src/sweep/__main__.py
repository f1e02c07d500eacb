"""The whole program: plan, prepare the model, search, confirm the winner, report."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from sweep.cli import library_warnings
from sweep.config.commands import module_of
from sweep.errors import reported
from sweep.outputs import importing
from sweep.study import interrupts


def main() -> None:
    with reported(), interrupts.as_one_error():
        if name := module_of(sys.argv[1:]):
            with interrupts.at_once():
                command = import_module(name)
            command.main(sys.argv[2:])
        else:
            _search(sys.argv[1:])


def _search(arguments: list[str]) -> None:
    with interrupts.at_once():
        from sweep.config.folders import cache_faults, temporary_faults
        from sweep.engine.numerics import tell_libraries
        from sweep.launch.head_address import head_faults
        from sweep.model.source import hub_faults, model_faults
        from sweep.plan.plan import make_plan
        from sweep.records.store import Store
        from sweep.track.faults import tracker_faults

    tell_libraries()
    checks = (
        tracker_faults, lambda config: model_faults(config.model), cache_faults, temporary_faults,
        lambda config: Store(Path(config.run_dir)).place_faults(),
    )  # fmt: skip
    last = (lambda config: hub_faults(config.model), head_faults)
    plan = make_plan(arguments, checks=checks, last=last)  # --help and --cfg end here

    # Imported only now, since torch takes seconds: a mistake in the config is reported first.
    with interrupts.at_once(), importing():
        from sweep.final.confirm import confirm
        from sweep.launch.start import launched
        from sweep.report.publish import published
        from sweep.study.prepare import prepare
        from sweep.study.search import search
        from sweep.study.session import opened

    library_warnings.once("transformers", "optuna")
    with plan.naming_origins(), launched(plan) as launcher:
        plan = prepare(plan, launcher)  # a dry run ends here
        with opened(plan, launcher) as session, published(session.store, session.study_run):
            trials = search(session)
            confirm(session, trials)


if __name__ == "__main__":
    main()
