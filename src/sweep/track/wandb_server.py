"""The W&B server of a study: whether it is asked now, what it answers, and what that costs."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import wandb

from sweep.track.credentials import Account, Answer, probe
from sweep.track.patience import LONGER, Patience
from sweep.track.tracker import Say
from sweep.track.wandb_run import WandbRun, error_text
from sweep.track.wandb_service import ServiceProcess

Prepare = Callable[[wandb.Settings], None]

# Seconds for the server to answer a question for the user of the key.
PROBE_TIMEOUT = 5
# Seconds in which a working server answers that question.
PROMPT = 1


@dataclass(frozen=True, slots=True)
class Started:
    """A run that was started, and the number of the client's process that has it
    (`ServiceProcess`)."""

    run: wandb.Run
    process: int


class WandbServer:
    """Starts runs on the server, and waits for it no longer than `patience` allows.

    `root` is the run directory. `account` None keeps all runs offline. `away` says that the user
    was told so of the server. Before its first run, and after a failure, the server is probed
    before it gets the next run.
    """

    def __init__(self, root: Path, account: Account | None, *, say: Say, patience: Patience) -> None:
        self.service = ServiceProcess(root / "wandb", self.tell)
        self.base_url = (account.base_url if account else "") or self.service.settings.base_url
        self.account = account
        self.patience = patience
        self.away = False
        self._root = root
        self._say = say
        self._doubted = True
        self._worn_out = False
        self._over = False

    def tell(self, line: str) -> None:
        """Tell the user a line; nothing after the tracker is closed, when the client reports the
        runs that were abandoned."""
        if not self._over:
            self._say(line)

    def close(self) -> None:
        """Tell nothing more."""
        self._over = True

    def sign_in(self) -> str | None:
        """Ask the server once whether it accepts the key. Return its refusal, or None."""
        if self.account is None:
            return None
        began = time.monotonic()
        found = probe(self.base_url, self.account.api_key, timeout=PROBE_TIMEOUT)
        self._doubted = found.answer is not Answer.ALIVE
        if found.answer is Answer.AWAY:
            self._note_away(f"does not answer ({found.reason})", "until it does")
        self._spent(time.monotonic() - began, failed=found.answer is Answer.AWAY)
        if found.answer is not Answer.REJECTED:
            return None
        return f"{self.base_url} rejects the key in {self.account.source} ({found.reason})"

    def go_offline(self) -> None:
        """Keep all further runs offline."""
        self.account = None

    def doubt(self) -> None:
        """Probe the server before the next run."""
        self._doubted = True

    def may_ask(self) -> bool:
        """Return whether the server may be asked now."""
        if self.account is None or (self.patience.stop.raised and not self.patience.unlimited):
            return False
        if not self.patience.left and not self._worn_out:
            self._worn_out = True
            self.tell(f"W&B at {self.base_url} has cost {self.patience.lost:.0f} s; tracker.max_wait is "
                      f"{self.patience.max_wait:g}: from here on runs are kept offline.")  # fmt: skip
            self.tell(self._how_to_upload())
        return not self._worn_out and not self.patience.paused

    def answers(self) -> bool:
        """Return whether the server answers, as far as that is in doubt."""
        if not self._doubted:
            return True
        assert self.account is not None
        found = probe(self.base_url, self.account.api_key, timeout=min(PROBE_TIMEOUT, self.patience.left))
        if found.answer is Answer.AWAY:
            self._note_away(f"does not answer ({found.reason})", "until it does")
        if found.answer is Answer.REJECTED:
            self._note_away(f"rejects the key in {self.account.source} ({found.reason})")
        return found.answer is Answer.ALIVE

    def init(
        self, settings: wandb.Settings, config: dict[str, Any], trouble: str = "", *, prepare: Prepare | None = None
    ) -> Started | None:
        """Return a run that was started on the server. `prepare` gets the settings as soon as the
        server answers.

        None if the server is not asked now, or does not accept the run. `trouble` is the start of
        a line on a run that it does not accept; without it the server counts as away.
        """
        if not self.may_ask():
            return None
        began, started = time.monotonic(), None
        if self.answers():
            try:
                if prepare is not None:
                    prepare(settings)
                started = self._start(settings, config)
            except Exception as error:  # see `WandbRun.attempt`
                self._doubted = True
                reason = error_text(error, self._folder_of(settings))
                if trouble:
                    self.tell(f"W&B: {trouble}: {reason}")
                else:
                    self._note_away(f"does not take runs ({reason})")
        self._spent(time.monotonic() - began, failed=started is None)
        if started is not None and self.away:
            self.away = False
            self._say(f"W&B at {self.base_url} answers again: runs go there from here on.")
        return started

    def init_offline(self, settings: wandb.Settings, config: dict[str, Any]) -> Started | None:
        """Return a started run that is kept offline; None where the disk cannot take it."""
        name = settings.run_name
        try:
            return self._start(settings, config)
        except Exception as error:  # see `WandbRun.attempt`
            self._say(f"W&B cannot keep {name}, not even offline: {error_text(error, None)}; the run directory has it.")
            return None

    def _start(self, settings: wandb.Settings, config: dict[str, Any]) -> Started:
        """Return a started run; it is started once more where the client's process has ended
        meanwhile. The thread that ends another run may have started a new one by now."""
        given, process = settings.model_copy(), self.service.number
        try:
            return Started(wandb.init(settings=settings, config=config), process)
        except Exception:
            if (present := self.service.renew_if_gone()) == process:
                raise
            return Started(wandb.init(settings=given, config=config), present)

    def wait_for(self, run: WandbRun) -> None:
        """Wait for the end of a run on the server."""
        patience, extra, began = self.patience, run.upload, time.monotonic()
        closed = patience.wait(run.closed, min(patience.usual + extra, patience.left))
        if not closed and patience.left and not patience.stop.raised and self._prompt():
            closed = patience.wait(run.closed, min(LONGER, patience.left))
        if closed and run.arrived:
            self._doubted = False
        if not patience.stop.raised:
            self._spent(time.monotonic() - began, extra=extra, failed=not (closed and (run.arrived or run.refused)))

    @property
    def files(self) -> Path:
        """Return the folder of the client's files, as the user would type it."""
        folder = self._root / "wandb"
        return folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder

    def _folder_of(self, settings: wandb.Settings) -> Path | None:
        """Return the folder of a run that did not start, which the client makes before it asks the
        server."""
        return next((self._root / "wandb").glob(f"run-*-{settings.run_id}*"), None)

    def _spent(self, seconds: float, *, extra: float = 0.0, failed: bool) -> None:
        """Count a wait for the server, unless it was long although the server answers at once."""
        if not failed and seconds > self.patience.usual + extra and self._prompt():
            return
        if self.patience.count(seconds, extra=extra, failed=failed):
            self._doubted = True
            if seconds >= 1:
                self._note_away(f"is slow: the start or the end of a run took more than {seconds:.0f} s")

    def _prompt(self) -> bool:
        """Return whether the server answers at once, so that a long wait may be due to a busy
        machine."""
        assert self.account is not None
        return probe(self.base_url, self.account.api_key, timeout=PROMPT).answer is Answer.ALIVE

    def _note_away(self, reason: str, until: str = "for now, and it is asked again later") -> None:
        if not self.away:
            self.tell(f"W&B at {self.base_url} {reason}: runs are kept offline {until}.")
            self.tell(self._how_to_upload())
        self.away = True

    def _how_to_upload(self) -> str:
        return f"To upload them later: wandb sync {shlex.quote(str(self.files))}/offline-run-*"
