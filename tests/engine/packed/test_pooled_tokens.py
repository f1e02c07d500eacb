"""The layers that are narrowed, and the tokens that they are narrowed to."""

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
from sweep.engine.packed.pooled_tokens import Narrowed, behind_attention, replace

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


def prepared(folder: Path, name: str) -> tuple[nn.Module, PackContext]:
    """Return a base with the attention of a pack, and its context."""
    model = AutoModel.from_pretrained(tiny(name, folder / name)).eval()
    context = PackContext()
    context.attach(model)
    model.set_attn_implementation(attention.NAME)
    return model, context


def hidden(model: nn.Module, context: PackContext, batch: PackedBatch) -> torch.Tensor:
    context.set_pack_index(batch)
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=batch.input_ids, position_ids=batch.position_ids + 2)[0][0]
    return found


@pytest.mark.parametrize("name", PACKABLE)
def test_layers_after_the_last_attention_compute_the_chosen_tokens_alone(tmp_path: Path, name: str) -> None:
    model, context = prepared(tmp_path, name)
    batch = pack(3, 7, 1)
    context.set_pack_index(batch)
    with behind_attention(model, context) as linears:
        whole = hidden(model, context, batch)
    names = {id(module): name for name, module in model.named_modules()}
    assert [names[id(module)].partition(".1.")[2] for module in linears] == BEHIND.get(name, GATED)

    seen: list[int] = []
    linears[0].register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[1]))
    replace(model, linears, context, lambda pack_index: pack_index.last)
    assert sum(isinstance(module, Narrowed) for module in model.modules()) == len(linears)
    narrow = hidden(model, context, batch)
    torch.testing.assert_close(narrow[batch.last], whole[batch.last], rtol=1e-5, atol=1e-5)
    assert not torch.allclose(narrow[batch.first[:2]], whole[batch.first[:2]])
    assert seen == [3]


def test_a_layer_that_runs_often_or_not_by_token_is_left_alone() -> None:
    class Base(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.twice, self.flat, self.once = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, values: torch.Tensor) -> torch.Tensor:
            values = self.twice(self.twice(values))
            return self.once(self.flat(values[0])[None])

    base, context = Base(), PackContext()
    context.attach(base)
    context.set_pack_index(pack(2, 3))
    with behind_attention(base, context) as linears:
        base(torch.ones(1, 5, 4))
    assert linears == [base.once]
    assert not base.once._forward_pre_hooks
