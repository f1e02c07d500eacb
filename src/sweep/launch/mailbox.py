"""The worker's side of its conversation with the coordinator: messages are gathered, and answers
are passed to the thread that waits for them."""

from __future__ import annotations

import queue
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sweep.launch.messages import (
    Asks,
    Called,
    Done,
    Ended,
    Evaluated,
    Files,
    Key,
    Message,
    Order,
    Reply,
    Saved,
    Stepped,
)
from sweep.records.trial import Verdict

GATHERED = 0.25  # seconds
_AT_ONCE = (Asks, Evaluated, Ended, Files, Called, Done)  # the coordinator hears of these at once


@dataclass(slots=True)
class Mailbox:
    """One thread works and speaks (`tell`, `ask`), another carries its messages (`exchange`).

    Steps are gathered for `seconds`: those with metrics are all kept, of the others only the
    newest of each trial. What has to be answered is sent at once.
    """

    seconds: float = GATHERED
    leaving: bool = False  # no trial is to go on
    _said: queue.SimpleQueue[Message] = field(default_factory=queue.SimpleQueue)
    _answers: queue.SimpleQueue[Any] = field(default_factory=queue.SimpleQueue)
    _orders: queue.SimpleQueue[Order] = field(default_factory=queue.SimpleQueue)
    _verdicts: Mapping[Key, Verdict] = field(default_factory=dict)
    _more: bool = True
    _waits: bool = False  # for an answer

    def tell(self, message: Message) -> None:
        """Say something that needs no answer."""
        self._said.put(message)

    def ask(self, message: Message) -> Any:
        """Return the answer to a message."""
        self._said.put(message)
        return self._answers.get()

    def next_trial(self) -> Any:
        """Return the plan of a trial; None where the coordinator has none at present."""
        return None if self.leaving or not self._more else self.ask(Asks())

    def verdict(self, key: Key) -> Verdict:
        """Return the newest verdict on a trial."""
        return Verdict.INTERRUPT if self.leaving else self._verdicts.get(key, Verdict.CONTINUE)

    def order(self) -> Order:
        """Wait for an order, and return it."""
        return self._orders.get()

    def exchange(self, reply: Reply) -> tuple[Message, ...]:
        """Pass on a reply. Return the messages since the last call: at once where one has to be
        answered, else after `seconds`."""
        self._verdicts, self._more = reply.verdicts, reply.more
        self.leaving = self.leaving or reply.leave
        self.seconds = self.seconds if reply.gather is None else reply.gather
        if self._waits:
            self._waits = False
            self._answers.put(reply.answer)
        if reply.order is not None:
            self._orders.put(reply.order)
        return self._gathered()

    def _gathered(self) -> tuple[Message, ...]:
        found: list[Message] = []
        newest: dict[Key, Stepped] = {}
        until = time.monotonic() + self.seconds
        while True:
            try:
                message = self._said.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                return (*found, *newest.values())
            if isinstance(message, Stepped) and not message.step.metrics:
                newest[message.key] = message
                continue
            if isinstance(message, Stepped | Saved | Evaluated | Ended) and message.key in newest:
                step = newest.pop(message.key)
                if not isinstance(message, Stepped):
                    found.append(step)
            if not isinstance(message, _AT_ONCE):
                found.append(message)
                continue
            self._waits = not isinstance(message, Done)
            return (*found, *newest.values(), message)
