from __future__ import annotations

import pytest

from report.comparison.conftest import group  # noqa: F401
from report.conftest import build, config, final, six_trials
from sweep.errors import UserError
from sweep.records.winner import find_winner


def test_the_winner_of_a_study(tmp_path):
    trials = six_trials()
    store = build(tmp_path / "run", trials, ending=final(trials[1]))
    found = find_winner(store.root)
    assert (found.record.number, found.model) == (1, tmp_path / "run" / "final" / "model")


def test_a_choice_names_one_of_several_winners(group):  # noqa: F811
    assert find_winner(group.root, "lora").folder == group.final_dir
    found = find_winner(group.root, "ia3")
    assert (found.record.params, found.folder) == ({"adapter": "ia3"}, group.root / "methods" / "ia3")
    with pytest.raises(UserError, match=r"for each value of adapter .*: lora \(the best\), ia3; .* --choice lora"):
        find_winner(group.root)
    with pytest.raises(UserError, match=r"is ia33, which is no compared value of adapter \(did you mean ia3\?\)"):
        find_winner(group.root, "ia33")


def test_a_choice_in_a_study_that_compared_nothing_is_a_fault(tmp_path):
    trials = six_trials()
    store = build(tmp_path / "run", trials, ending=final(trials[1]))
    with pytest.raises(UserError, match="--choice: is lora, but .* has one winner; leave it out"):
        find_winner(store.root, "lora")


def test_a_study_without_a_winner_says_why(tmp_path):
    trials = six_trials()
    running = build(tmp_path / "running", trials[:3])
    with pytest.raises(UserError, match="no winner yet: 3 of 6 trials .* go on with its command: python -m sweep"):
        find_winner(running.root)
    failed = build(tmp_path / "failed", trials[2:])
    with pytest.raises(UserError, match="no winner yet: 3 of 6 trials have ended, and 0 of them completed"):
        find_winner(failed.root)


def test_a_study_whose_trials_all_failed_has_no_winner(tmp_path):
    failed = build(tmp_path / "failed", six_trials()[2:], settings=config(n_trials=3))
    with pytest.raises(UserError, match=r"has no winner: 3 of 3 trials .* see .*report\.md"):
        find_winner(failed.root)


def test_another_folder_is_told_from_a_run_directory(tmp_path):
    with pytest.raises(UserError, match="is no folder; give the run directory"):
        find_winner(tmp_path / "missing")
    store = build(tmp_path / "runs" / "one", six_trials()[:1])
    with pytest.raises(UserError, match=r"no lock\.json; below it there are: one"):
        find_winner(tmp_path / "runs")
    with pytest.raises(UserError, match=f"it is inside of the run directory {store.root}"):
        find_winner(store.trial_dir(0))
