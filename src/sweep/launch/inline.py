"""The launcher `inline`: engines run in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from sweep.engine import memory
from sweep.engine.protocol import Engine
from sweep.launch.launcher import Hosted, Make, Search
from sweep.launch.workspace import Facts, Workspace, facts_of
from sweep.plan.plan import Plan
from sweep.records.store import Store

T = TypeVar("T")
P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Here:
    """An object of this process."""

    made: Any
    host: str = ""
    worker: str = ""

    def call(self, method: str, *args: Any, callbacks: object | None = None) -> Any:
        return getattr(self.made, method)(*args, *(() if callbacks is None else (callbacks,)))


@dataclass
class Inline:
    """Runs engines in this process, on one device."""

    workspace: Workspace
    inline: bool = True

    @classmethod
    def of(cls, plan: Plan) -> Inline:
        """Return the launcher of a plan."""
        return cls(Workspace(plan.config, plan.splits, Store(Path(plan.config.run_dir)).scratch))

    def facts(self) -> Facts:
        return facts_of(self.workspace.base_models.device)

    def workers_on_host(self) -> int:
        return 1

    def ask(self, question: Callable[Concatenate[Workspace, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return question(self.workspace, *args, **kwargs)

    def engine(self, search: Search) -> Engine:
        return self.workspace.engine(search.best_dir)

    @contextmanager
    def hosted(self, make: Make) -> Iterator[Hosted]:
        made = make(self.workspace.base_models, self.workspace.data)
        try:
            yield Here(made)
        finally:
            made.close()

    def memory_in_use(self) -> int:
        return memory.in_use(self.workspace.base_models.device)

    def tell_by(self, say: Callable[[str], None], stopping: Callable[[], bool]) -> None: ...
