"""The run directory that a study in a storage belongs to, and the experiment of both.

Two run directories that used one study at once would end each other's trials.
"""

from __future__ import annotations

import socket
import warnings
from pathlib import Path

import optuna
from optuna.study import Study
from optuna.trial import TrialState

from sweep.config.schema import StudyConfig
from sweep.errors import UserError
from sweep.records.lock import Lock
from sweep.records.store import Store
from sweep.study.storage import STORAGE_ERRORS, open_storage, own_address, own_file

# User attributes of the study, shown by `optuna-dashboard`.
_EXPERIMENT = "experiment"
_OWNER, _FOLDER, _HOST, _OPENED = "run_directory_id", "run_directory", "host", "opened_by"


def claim(study: Study, metrics: list[str], store: Store) -> None:
    """Record that the study belongs to this run directory, and describe it. Call this within one
    transaction.

    Raises UserError where the study is another one, or belongs to another run directory.
    """
    _take_ownership(study, store)
    _refuse_another_study(study, store)
    _describe(study, metrics, store.lock())


def _take_ownership(study: Study, store: Store) -> None:
    """Record that the study belongs to this run directory.

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


def _refuse_another_study(study: Study, store: Store) -> None:
    """Check that the trials in the storage and the records in the run directory are of one study.
    Raises UserError.

    A trial with a folder and no record is not missing: its record was damaged.
    """
    lock = store.lock()
    experiment = lock.experiment if lock else ""
    known = study.user_attrs.get(_EXPERIMENT)
    if known is None or not study.get_trials(deepcopy=False):
        known = experiment
        study.set_user_attr(_EXPERIMENT, experiment)
    ended = {trial.number for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()}
    recorded = {record.number for record in store.trials()}
    running = {trial.number for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))}
    missing = {number for number in ended - recorded if not store.trial_dir(number).exists()}
    if known != experiment or missing or recorded - ended - running:
        rule = f"holds a study {study.study_name} that is not the one in {store.root}: their trials differ"
        raise UserError.of(
            "study.storage", f"{rule}; put the right one back, or name a new study.study_name and run_dir"
        )


def _describe(study: Study, metrics: list[str], lock: Lock | None) -> None:
    """Write the names of the scores and facts of the study as attributes for optuna-dashboard."""
    shown = {} if lock is None else {
        "title": lock.config.title, "command": lock.command, "model": lock.config.model.path, "dataset": lock.config.dataset.path,
        "versions": dict(lock.versions), "commit": lock.git.commit,
    }  # fmt: skip
    known = study.user_attrs
    for name, value in shown.items():
        if value and known.get(name) != value:
            study.set_user_attr(name, value)
    if study.metric_names != metrics:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names(metrics)


def known_experiment(config: StudyConfig, store: Store) -> str:
    """Return the fingerprint of the experiment whose trials the storage holds; empty where it
    holds none. Writes nothing."""
    if config.storage is None and not own_file(store).exists():
        return ""
    try:
        storage = open_storage(config.storage or own_address(store))
        try:
            study = optuna.load_study(study_name=config.study_name, storage=storage)
            return str(study.user_attrs.get(_EXPERIMENT, ""))
        finally:
            storage.remove_session()
            storage.engine.dispose()
    except (KeyError, *STORAGE_ERRORS):
        return ""
