"""Tracker config → `Tracker`. Imports the client of a tracker only if it is used."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sweep.config.schema import Config, TrackerConfig
from sweep.errors import UserError
from sweep.records.store import Store
from sweep.track.addresses import WANDB
from sweep.track.arrivals import Arrivals, compare
from sweep.track.credentials import Client, read_client
from sweep.track.environment import resolved, without_effect
from sweep.track.faults import tracker_faults
from sweep.track.mode import KEY, Mode, account_trouble, each, find_mode, with_tracker
from sweep.track.null import NullTracker
from sweep.track.patience import NeverStopped, Patience, Stop
from sweep.track.plugin import load, settings
from sweep.track.several import SeveralTrackers
from sweep.track.threaded import ThreadedTracker
from sweep.track.tracker import Say, Tracker


@contextmanager
def tracked(
    config: Config, store: Store, *, say: Say | None = None, stop: Stop | None = None, at_end: Say | None = None
) -> Iterator[Tracker]:
    """Open the tracker as `open_tracker` does. At the end, close it and tell the user what
    arrived, by `at_end` or else `say`.

    With `tracker=mock`, what its server received is compared with the run directory then. Raises
    SystemExit(1) where something is missing there, and UserError as `open_tracker`.
    """
    say = say or _print
    trackers = _opened(config, store.root, say=say, stop=stop)
    tracker = _together(trackers, say=say)
    missing: Sequence[str] = ()
    try:
        yield tracker
    finally:
        lines = tracker.close()
        if _uses_mock(config.tracker):
            arrived = _arrived(trackers, store, config.study.study_name)
            lines, missing = (*lines, *arrived.lines), arrived.missing
        for line in (*lines, *(f"missing: {name}" for name in missing)):
            (at_end or say)(line)
    if missing:
        raise SystemExit(1)


def _arrived(trackers: Sequence[tuple[str, Tracker]], store: Store, study: str) -> Arrivals:
    """Return what arrived at the server of `tracker=mock`, which is one of `trackers`."""
    from sweep.track.mock_tracker import MockTracker

    (mock,) = (tracker for _, tracker in trackers if isinstance(tracker, MockTracker))
    return compare(store, study, mock.expected)


def open_tracker(config: Config, run_dir: Path, *, say: Say | None = None, stop: Stop | None = None) -> Tracker:
    """Return the tracker that the config names. `tracked` is to be used where there is a run
    directory to compare with.

    `say` takes single lines for the user; without it they go to standard error. After a `stop` no
    server is waited for but for a few seconds, or not at all.

    Raises UserError for every fault that `tracker_faults` knows, for a key that the server
    rejects where online mode was asked for, and for a port that is taken. A server that does not
    answer is no error: runs are kept offline.
    """
    say = say or _print
    return _together(_opened(config, run_dir, say=say, stop=stop), say=say)


def _opened(config: Config, run_dir: Path, *, say: Say, stop: Stop | None) -> list[tuple[str, Tracker]]:
    """Return the trackers that are switched on, each after the label of its addresses."""
    if faults := tracker_faults(config):
        raise UserError(faults)
    opened = [(one, _open(with_tracker(config, one), run_dir, say=say, stop=stop)) for _, one in each(config.tracker)]
    return [("" if one.target else WANDB, tracker) for one, tracker in opened if not isinstance(tracker, NullTracker)]


def _together(trackers: Sequence[tuple[str, Tracker]], *, say: Say) -> Tracker:
    if not trackers:
        return NullTracker()
    return trackers[0][1] if len(trackers) == 1 else SeveralTrackers(trackers, say=say)


def _uses_mock(tracker: TrackerConfig) -> bool:
    return any(one.name == "mock" and one.mode != "disabled" for _, one in each(tracker))


def _open(config: Config, run_dir: Path, *, say: Say, stop: Stop | None) -> Tracker:
    """Return the tracker of `config.tracker` alone, without those in its `also`."""
    if config.tracker.target is not None:
        return _open_plugin(config, run_dir, say=say, stop=stop)
    client = read_client()
    mode = find_mode(config.tracker, client)
    if config.tracker.name == "none" or mode.name == "disabled":
        if config.tracker.name == "wandb" and mode.source != KEY:
            say(f"W&B: {mode.source} switches tracking off; the run directory has everything.")
        return NullTracker()
    for line in without_effect(config.tracker, chosen=_chosen(config.tracker)):
        say(line)
    config = config.model_copy(update={"tracker": resolved(config.tracker)})
    if config.tracker.name == "mock":
        from sweep.track.mock_tracker import MockTracker

        return MockTracker(config, run_dir, say=say, stop=stop)
    return _open_wandb(config, run_dir, client=client, mode=mode, say=say, stop=stop)


def _chosen(tracker: TrackerConfig) -> str:
    """Return the choice of the user's that keeps tracking on; empty where the environment may
    switch it off."""
    if tracker.name == "mock":
        return "tracker is mock"
    return f"tracker.mode is {tracker.mode}" if tracker.mode != "auto" else ""


def _open_plugin(config: Config, run_dir: Path, *, say: Say, stop: Stop | None) -> Tracker:
    tracker = config.tracker
    if tracker.mode == "disabled":
        return NullTracker()
    plugin = load(tracker)
    own = settings(tracker, plugin)
    patience = Patience(tracker.max_wait, stop or NeverStopped())
    return ThreadedTracker(
        tracker.name, lambda: plugin(config, run_dir, settings=own, say=say), say=say, patience=patience
    )  # fmt: skip


def _open_wandb(config: Config, run_dir: Path, *, client: Client, mode: Mode, say: Say, stop: Stop | None) -> Tracker:
    from sweep.track.wandb_tracker import WandbTracker

    trouble = account_trouble(client)
    online = mode.name == "online" and not trouble
    if client.account and trouble and mode.name == "online":
        say(f"W&B: {trouble}. Runs are kept offline.")
    patience = Patience(config.tracker.max_wait, stop or NeverStopped())
    tracker = WandbTracker(config, run_dir, account=client.account if online else None, say=say, patience=patience)
    if rejected := tracker.connection.sign_in():
        if mode.asked:
            rule = f"is online, but {rejected}; run `wandb login --relogin`, or use offline"
            raise UserError.of("tracker.mode", rule)
        say(f"W&B: {rejected}. Runs are kept offline.")
        tracker.connection.go_offline()
    return tracker


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
