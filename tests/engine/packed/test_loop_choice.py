"""The loop that a trial goes to, by its settings alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.trials import make_plan
from sweep.engine.packed.loop_choice import Loop, choose_loop


@pytest.mark.parametrize(
    ("sections", "loop", "said"),
    [
        ({"adapter": {"method": "lora"}}, Loop.PACKED, ""),
        ({"adapter": {"method": "ia3"}, "trainer": {"bf16": True}}, Loop.PACKED, ""),
        ({"adapter": {"method": "head"}}, Loop.CACHED_HEAD, ""),
        ({"adapter": {"method": "full"}}, Loop.TRAINER, "adapter.method full"),
        ({"trainer": {"fp16": True}}, Loop.TRAINER, "trainer.fp16"),
        ({"adapter": {"method": "head"}, "trainer": {"fp16": True}}, Loop.TRAINER, "adapter.method head"),
        ({"prompt": {"template": "{text}"}}, Loop.TRAINER, "label words"),
        ({"optimizer": {"lr_scheduler_type": "reduce_lr_on_plateau"}}, Loop.TRAINER, "goes by the loss"),
    ],
    ids=str,
)
def test_only_the_trainer_needs_a_reason(sections: dict[str, Any], loop: Loop, said: str) -> None:
    choice = choose_loop(make_plan(Path("base"), **sections).settings)
    assert choice.loop is loop
    assert said in choice.reason and bool(choice.reason) is (loop is Loop.TRAINER)
