"""Which layers are narrowed, and to what."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoModel

from support.packable import PACKABLE, tiny
from sweep.engine.packed import attention
from sweep.engine.packed.attention import PackContext
from sweep.engine.packed.batch import PackedBatch, Row
from sweep.engine.packed.narrow import Narrowed, behind_attention, replace

CPU = torch.device("cpu")
BEHIND = {
    "gpt2": ["attn.c_proj", "mlp.c_fc", "mlp.c_proj"],
    "bert": ["attention.output.dense", "intermediate.dense", "output.dense"],
    "roberta": ["attention.output.dense", "intermediate.dense", "output.dense"],
    "distilbert": ["attention.out_lin", "ffn.lin1", "ffn.lin2"],
    "modernbert": ["attn.Wo", "mlp.Wi", "mlp.Wo"],
    "phi3": ["self_attn.o_proj", "mlp.gate_up_proj", "mlp.down_proj"],
}
GATED = ["self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]


def pack(*lengths: int) -> PackedBatch:
    return PackedBatch([[Row(1 + np.arange(length) % 5) for length in lengths]], CPU)


def laid(folder: Path, name: str) -> tuple[nn.Module, PackContext]:
    """A base whose attention is the pack's."""
    model = AutoModel.from_pretrained(tiny(name, folder / name)).eval()
    line = PackContext()
    line.put_on(model)
    model.set_attn_implementation(attention.NAME)
    return model, line


def hidden(model: nn.Module, line: PackContext, layout: PackedBatch) -> torch.Tensor:
    line.lay(layout)
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=layout.input_ids, position_ids=layout.position_ids + 2)[0][0]
    return found


@pytest.mark.parametrize("name", PACKABLE)
def test_what_comes_after_the_last_attention_is_needed_for_the_chosen_alone(tmp_path: Path, name: str) -> None:
    model, line = laid(tmp_path, name)
    layout = pack(3, 7, 1)
    line.lay(layout)
    with behind_attention(model, line) as linears:
        whole = hidden(model, line, layout)
    names = {id(module): name for name, module in model.named_modules()}
    assert [names[id(module)].partition(".1.")[2] for module in linears] == BEHIND.get(name, GATED)

    seen: list[int] = []
    linears[0].register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[1]))
    replace(model, linears, line, lambda places: places.last)
    assert sum(isinstance(module, Narrowed) for module in model.modules()) == len(linears)
    narrow = hidden(model, line, layout)
    torch.testing.assert_close(narrow[layout.last], whole[layout.last], rtol=1e-5, atol=1e-5)
    assert not torch.allclose(narrow[layout.first[:2]], whole[layout.first[:2]])
    assert seen == [3]


def test_a_layer_that_runs_often_or_not_by_token_is_left_alone() -> None:
    class Base(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.twice, self.flat, self.once = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, values: torch.Tensor) -> torch.Tensor:
            values = self.twice(self.twice(values))
            return self.once(self.flat(values[0])[None])

    base, line = Base(), PackContext()
    line.put_on(base)
    line.lay(pack(2, 3))
    with behind_attention(base, line) as linears:
        base(torch.ones(1, 5, 4))
    assert linears == [base.once]
    assert not base.once._forward_pre_hooks
