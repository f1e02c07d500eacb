"""Running trials where an error of the engine ends the search."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from optuna.exceptions import StorageInternalError

from sweep.errors import UserError, disk_failure
from sweep.records.cost import unfinished_cost
from sweep.records.device_time import DeviceTime
from sweep.records.snapshots import Snapshots, trial_key
from sweep.records.store import Store
from sweep.records.trial import Failed, FailureReason, Outcome, TrialRecord
from sweep.study.running import RunningTrial
from sweep.track.tracker import PAUSED

Settle = Callable[[RunningTrial, Outcome], TrialRecord]
Close = Callable[[RunningTrial, TrialRecord], None]


@contextmanager
def crashes_recorded(
    store: Store, running: Mapping[int, RunningTrial], snapshots: Snapshots, settle: Settle, close: Close
) -> Iterator[None]:
    """End the running trials before an error within the context is passed on: in the records and
    in Optuna, by `settle`, and on the dashboard, by `close`, which may take long. A trial that the
    pruner has paused is left to `Recovery`, if it has a snapshot.

    They are put away where the error says nothing about them: after a second Ctrl-C, where the
    disk or the storage failed, and where the user has something to mend, such as a metric that
    fails on one of the workers. Their marks alone are changed then, since nothing else may wait or
    be written.
    """
    try:
        yield
    except (KeyboardInterrupt, StorageInternalError, UserError):
        for number in running:
            store.marks(number).clear()
        raise
    except Exception as error:
        if disk_failure(error):
            for number in running:
                store.marks(number).stop_for_disk()
            raise
        with suppress(OSError, StorageInternalError):  # `Recovery` does the rest when the study is resumed
            pausing = [one for number, one in running.items() if one.pausing and snapshots.step(trial_key(number))]
            for one in pausing:
                store.marks(one.plan.number).clear()
            others = [one for one in running.values() if one not in pausing]
            message = f"{type(error).__name__}: {error}"
            for one, record in [(one, settle(one, _crashed(one, message))) for one in others]:
                close(one, record)
            for one in pausing:
                one.run.finish(PAUSED)
        raise


def _crashed(running: RunningTrial, message: str) -> Failed:
    cost = unfinished_cost(running.plan.snapshot, DeviceTime(), running.seconds)
    return Failed(FailureReason.CRASHED, message, tuple(running.log.evals), cost)
