"""The messages between a worker and the coordinator: values that can be pickled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sweep.launch.launcher import Make
from sweep.records.trial import EvalPoint, Outcome, Step, Verdict

Key = tuple[int, int]  # `TrialPlan.key`


@dataclass(frozen=True, slots=True)
class Asks:
    """The engine has a free slot. The answer is a `TrialPlan` or None."""


@dataclass(frozen=True, slots=True)
class Stepped:
    key: Key
    step: Step


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The answer is a `Verdict`."""

    key: Key
    point: EvalPoint


@dataclass(frozen=True, slots=True)
class Saved:
    """A snapshot of a trial. `data` are its bytes, or a reference to them."""

    key: Key
    data: Any


@dataclass(frozen=True, slots=True)
class Ended:
    """The answer says whether the files of the trial's adapters are wanted: `Files` follows."""

    key: Key
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Files:
    """The folders of a trial's adapters as a tar file, or a reference to it. It is answered."""

    key: Key
    data: Any


@dataclass(frozen=True, slots=True)
class Called:
    """A hosted object calls a method of its callbacks. The answer is what that returns."""

    method: str
    args: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Warned:
    """A line for the user."""

    text: str


@dataclass(frozen=True, slots=True)
class Done:
    """An order is done. `trace` is the traceback of its error, as text."""

    value: Any = None
    error: BaseException | None = None
    trace: str = ""


Message = Asks | Stepped | Evaluated | Saved | Ended | Files | Called | Warned | Done


@dataclass(frozen=True, slots=True)
class RunEngine:
    """Run an engine until it has no trial left. `study` is the id of the study's run directory."""

    study: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """Call `question(workspace, *args, **kwargs)`."""

    question: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Open:
    """Make an object to call."""

    make: Make


@dataclass(frozen=True, slots=True)
class Call:
    """Call a method of the object; with `callbacks` its last argument calls back."""

    method: str
    args: tuple[Any, ...]
    callbacks: bool


@dataclass(frozen=True, slots=True)
class Close:
    """Close the object."""


Order = RunEngine | Answer | Open | Call | Close


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to the messages of a worker.

    `answer` is for the last of them. `verdicts` are those of trials to be ended. `more` says that
    it makes sense to ask for a trial; `leave` that no trial is to go on. `gather` changes the
    seconds for which the worker gathers steps.
    """

    answer: Any = None
    verdicts: Mapping[Key, Verdict] = field(default_factory=dict)
    more: bool = True
    leave: bool = False
    order: Order | None = None
    gather: float | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """The messages of a worker since the last ones, and the bytes that its trials take."""

    messages: tuple[Message, ...]
    memory: int = 0
    leaving: bool = False  # the worker was told to end
