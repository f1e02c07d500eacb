"""How many trials run at once in a study whose sampler learns."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.toys import ToyEngine, plan, session
from sweep.engine.protocol import no_snapshot
from sweep.records.trial import TrialRecord
from sweep.study.concurrency import ConcurrencyLimit
from sweep.study.search import search

RATE = "optimizer.learning_rate"
POINT = "{{{rate}: {value}, optimizer.weight_decay: 0.0, optimizer.warmup_steps: 0.1, {rest}}}"
REST = "trainer.per_device_train_batch_size: 8, trainer.num_train_epochs: 3"


def enqueued(count: int, rest: str = REST) -> str:
    found = (POINT.format(rate=RATE, value=f"{2 + number}e-3", rest=rest) for number in range(count))
    return f"study.enqueue=[{','.join(found)}]"


@dataclass
class Watched(ToyEngine):
    """A toy engine that notes how many trials ran when each one was given."""

    beside: list[int] = field(default_factory=list)

    def run(self, next_trial: Any, on_step: Any, on_eval: Any, on_end: Any, on_snapshot: Any = no_snapshot) -> None:
        running = set[int]()

        def given() -> Any:
            if (trial := next_trial()) is not None:
                self.beside.append(len(running))
                running.add(trial.number)
            return trial

        def ended(trial: Any, outcome: Any) -> None:
            running.discard(trial.number)
            on_end(trial, outcome)

        super().run(given, on_step, on_eval, ended, on_snapshot)


def searched(folder: Path, *overrides: str) -> tuple[list[TrialRecord], list[int]]:
    engine = Watched(slots=8)
    with session(folder, "study.n_trials=12", "study.pruner=none", *overrides, engine=engine) as opened:
        return search(opened), engine.beside


def test_the_slots_that_the_user_set_raise_the_limit_of_the_sampler(tmp_path: Path) -> None:
    def most(*overrides: str) -> int | None:
        config = plan(tmp_path, "study.n_trials=16", *overrides).config
        return ConcurrencyLimit.of(config, lambda: 0, ()).most

    assert [most(f"engine.slots={slots}") for slots in ("auto", 1, 8)] == [4, 4, 8]
    assert most("study.sampler=random") is None and most("study.sampler=qmc", "engine.slots=8") is None


def test_given_points_run_at_once_and_those_that_are_learnt_for_wait(tmp_path: Path) -> None:
    records, beside = searched(tmp_path, enqueued(6))
    assert len(records) == 12 and [record.params[RATE] for record in records[:6]] == [
        0.002, 0.003, 0.004, 0.005, 0.006, 0.007
    ]  # fmt: skip
    assert beside[:6] == [0, 1, 2, 3, 4, 5], "more than three at once, and no seventh, which would learn nothing"
    assert max(beside[6:]) == 2, "a quarter of the trials"


def test_a_given_point_without_all_its_values_waits(tmp_path: Path) -> None:
    """The sampler draws the others by what it has learnt."""
    _, beside = searched(tmp_path, enqueued(8, rest="trainer.num_train_epochs: 3"))
    assert max(beside) == 2


def test_as_many_as_may_run_are_shared_out(tmp_path: Path) -> None:
    limit = ConcurrencyLimit.of(plan(tmp_path, "study.n_trials=16").config, lambda: 6, range(1))
    assert limit.at_once(waiting=2) == 9 and limit.allows_new
    full = ConcurrencyLimit(4, lambda: 0, range(4))
    assert full.at_once(waiting=0) == 4 and not full.allows_new
    assert ConcurrencyLimit(None, lambda: 0, range(99)).at_once(waiting=1) is None
