"""The run directory that a study in a storage belongs to.

Two run directories that used one study at once would end each other's trials.
"""

from __future__ import annotations

import socket
from pathlib import Path

from optuna.study import Study

from sweep.errors import UserError
from sweep.records.store import Store

# User attributes of the study, shown by `optuna-dashboard`.
_OWNER, _FOLDER, _HOST, _OPENED = "run_directory_id", "run_directory", "host", "opened_by"


def take_ownership(study: Study, store: Store) -> None:
    """Record that the study belongs to this run directory. Call this within one transaction.

    Raises UserError where the study belongs to another run directory, unless that one no longer
    exists and has no trial.
    """
    mine = store.identity()
    study.set_user_attr(_OPENED, mine)  # a write, so that a second process waits for the first one's transaction
    known = study.user_attrs
    if known.get(_OWNER, mine) != mine and not _is_abandoned(study, known):
        where = f"{known.get(_FOLDER)} on {known.get(_HOST)}"
        rule = f"holds a study {study.study_name} that is not the one in {store.root}: it belongs to the run directory {where}"
        raise UserError.of(
            "study.storage", f"{rule}, and two of them must not share one; go on there, or name a new study.study_name"
        )
    for name, value in ((_OWNER, mine), (_FOLDER, str(store.root.absolute())), (_HOST, socket.gethostname())):
        if known.get(name) != value:
            study.set_user_attr(name, value)


def _is_abandoned(study: Study, known: dict[str, str]) -> bool:
    """Return whether the owner was a directory of this machine that no longer exists, and the
    study has no trial."""
    if study.get_trials(deepcopy=False) or known.get(_HOST) != socket.gethostname():
        return False
    folder = Path(known.get(_FOLDER, ""))
    return Store(folder).known_identity() != known[_OWNER]
