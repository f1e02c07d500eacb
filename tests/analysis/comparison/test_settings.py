from __future__ import annotations

from sweep.analysis.comparison.comparison import Comparison
from sweep.analysis.comparison.settings import settings


def test_settings_are_shown_where_they_differ_or_were_searched(comparison: Comparison) -> None:
    found = settings(comparison)
    shown = {setting.key: setting for setting in found.shown}
    assert shown["adapter.method"].values == ("lora", "lora", "head")
    assert shown["adapter.r"].values == (8, 8, None)
    assert shown["optimizer.learning_rate"].searched == (True, True, True)
    assert "model.path" in shown  # a main setting, though all share it
    assert not shown.keys() & found.shared.keys()
    assert found.shared["trainer.num_train_epochs"] == 3 and None not in found.shared.values()
