"""The whole program: compose and check, look at the model, search, confirm the winner, report."""

from __future__ import annotations

import sys
from importlib import import_module

from sweep.errors import reported
from sweep.model.source import hub_faults, model_faults
from sweep.numerics import tell_libraries
from sweep.plan import make_plan
from sweep.track.open import tracker_faults

# What `sweep NAME …` does without a search; each answers without torch.
_COMMANDS = {"compare": "sweep.compare", "report": "sweep.report.__main__"}


def main() -> None:
    tell_libraries()
    if module := _COMMANDS.get(next(iter(sys.argv[1:]), "")):
        import_module(module).main(sys.argv[2:])
        return
    with reported():
        plan = make_plan(
            sys.argv[1:], checks=(tracker_faults, model_faults), last=(hub_faults,)
        )  # --help and --cfg end here

        # Imported only now: torch takes seconds, and a mistake in the config should not.
        from sweep.final.confirm import confirm
        from sweep.report.publish import published
        from sweep.study.prepare import prepare
        from sweep.study.search import search
        from sweep.study.session import opened

        plan = prepare(plan)  # a dry run ends here
        with opened(plan) as session, published(session.store, session.tracker, plan.config):
            trials = search(session)
            confirm(session, trials)


if __name__ == "__main__":
    main()
