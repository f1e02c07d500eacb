"""The protocol between a study and the place where its engines run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from sweep.data.tokenise import TokenisedData
from sweep.engine.protocol import Engine
from sweep.launch.workspace import Facts, Workspace
from sweep.model.base_model_cache import BaseModelCache
from sweep.records.trial import Outcome, TrialPlan

T = TypeVar("T")
P = ParamSpec("P")

Make = Callable[[BaseModelCache, TokenisedData], Any]


@dataclass(frozen=True, slots=True)
class Search:
    """The facts about the coming trials that an engine on workers needs.

    `best_dir` gives the folder of a trial's best adapter, or None; `leads` says whether a trial
    with this outcome is the best so far, so that its adapter is kept. `stopping` says whether the
    user stopped the study. `points` is the number of trials that are still wanted; None where
    that is not known. `study` is the id of the study's run directory. `at_once` gives the most
    trials that the study lets run at once now, to share them out; None is no limit.
    """

    best_dir: Callable[[TrialPlan], Path | None]
    leads: Callable[[TrialPlan, Outcome], bool]
    stopping: Callable[[], bool]
    points: int | None = None
    study: str = ""
    at_once: Callable[[], int | None] = lambda: None


class Hosted(Protocol):
    """An object that lives where trials are trained."""

    @property
    def host(self) -> str:
        """Return the name of its machine; empty in this process."""

    @property
    def worker(self) -> str:
        """Return the name of its worker; empty in this process."""

    def call(self, method: str, *args: Any, callbacks: object | None = None) -> Any:
        """Return the result of a method of the object.

        With `callbacks` the method gets, as its last argument, an object whose methods are those
        of `callbacks`: they run in this process and this thread. Raises what the method raises,
        and WorkerLostError where its worker is gone.
        """


class Launcher(Protocol):
    """The place where engines run."""

    @property
    def inline(self) -> bool:
        """Return whether engines run in this process."""

    def facts(self) -> Facts:
        """Return the facts of the device of the trials; of the first worker's where there are
        several. Raises UserError where no worker comes."""

    def workers_on_host(self) -> int:
        """Return how many workers share the memory of a host on which trials train, or may come to
        share it."""

    def ask(self, question: Callable[Concatenate[Workspace, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return `question(workspace, …)`, asked where trials are trained.

        `question` is a function of a module, and arguments and result can be pickled.
        """

    def engine(self, search: Search) -> Engine:
        """Return an engine for a search."""

    def hosted(self, make: Make) -> AbstractContextManager[Hosted]:
        """Return a context with an object that a class or function of a module makes where trials
        are trained. It is closed, by its `close()`, at the end of the context."""

    def memory_in_use(self) -> int:
        """Return the bytes that the trials take now."""

    def tell_by(self, say: Callable[[str], None], stopping: Callable[[], bool]) -> None:
        """Print what the user should know by `say` from now on: of workers that die, or are not
        used. Wait for no worker any more once `stopping` returns True."""
