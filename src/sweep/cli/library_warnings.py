"""Shows each warning of a library once a process.

Python shows a warning again wherever its filters were changed in between, which each
`catch_warnings` does, and the libraries' loggers show all: a study of thirty trials would repeat
each one thirty times.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from typing import TextIO

_Show = Callable[[Warning | str, type[Warning], str, int, TextIO | None, str | None], None]


def once(*libraries: str) -> None:
    """Show each warning once from now on.

    `libraries` are those whose loggers have handlers of their own.
    """
    if not isinstance(warnings.showwarning, _Once):
        warnings.showwarning = _Once(warnings.showwarning)
    for library in libraries:
        for handler in logging.getLogger(library).handlers:
            if not any(isinstance(one, _Repeated) for one in handler.filters):
                handler.addFilter(_Repeated())


class _Once:
    def __init__(self, show: _Show) -> None:
        self._show, self._shown = show, set[tuple[type[Warning], str]]()

    def __call__(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if (category, str(message)) not in self._shown:
            self._shown.add((category, str(message)))
            self._show(message, category, filename, lineno, file, line)


class _Repeated(logging.Filter):
    """Drops a warning whose text was logged before."""

    def __init__(self) -> None:
        super().__init__()
        self._logged: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno != logging.WARNING:
            return True
        text = record.getMessage()
        new = text not in self._logged
        self._logged.add(text)
        return new
