"""No pruner and both forms of racing, as rules of replays."""

from __future__ import annotations

from benchmarks.five_knobs import Rule
from benchmarks.replay import Policy
from sweep.config.schema import SamplerName
from sweep.search.stopping_race import StoppingRace

NONE, RACING, STOPPING = "none", "racing", "racing that stops"


def rules(sampler: SamplerName) -> dict[str, Rule]:
    """Return the rules by name. `RACING` is the default, which pauses trials that are scored on
    500 validation rows or more; `STOPPING` stops trials for good on any table."""
    racing = Policy(sampler, "racing")
    found = (
        Rule(NONE, Policy(sampler)), Rule(RACING, racing), Rule(STOPPING, racing, make=lambda _: StoppingRace()),
    )  # fmt: skip
    return {rule.name: rule for rule in found}
