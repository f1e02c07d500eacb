from __future__ import annotations

import logging
import warnings

import optuna
import pytest

from sweep.cli import library_warnings


def test_a_warning_is_shown_once_whatever_filters_change_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(warnings, "showwarning", lambda message, *_: shown.append(str(message)))
    library_warnings.once()
    library_warnings.once()
    for _ in range(3):
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            optuna.samplers.TPESampler(consider_endpoints=True)
            warnings.warn("another", FutureWarning, stacklevel=1)
    assert len(shown) == 2 and "consider_endpoints" in shown[0] and shown[1] == "another"


def test_a_logged_warning_is_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    logger, handler = logging.getLogger("some.library"), logging.StreamHandler()
    logging.getLogger("some").addHandler(handler)
    try:
        library_warnings.once("some")
        for _ in range(3):
            logger.warning("the tokenizer of %s is old", "x")
            logger.error("an error")
        logger.warning("the tokenizer of %s is old", "y")
    finally:
        logging.getLogger("some").removeHandler(handler)
    shown = capsys.readouterr().err
    assert (shown.count("of x is old"), shown.count("of y is old"), shown.count("an error")) == (1, 1, 3)
