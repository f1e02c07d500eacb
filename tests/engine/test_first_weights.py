"""First weights that an adapter method computes from training rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from support.trials import Watcher, make_plan
from sweep.data.tokenise import TokenisedData
from sweep.engine.first_weights import set_first_weights
from sweep.engine.trial_state import Stopped
from sweep.errors import UserError
from sweep.model.base_model_cache import BaseModelCache
from sweep.records.trial import Failed, Pruned, TrialPlan, Verdict

EVA = {"method": "lora", "init": "eva", "r": 4}


def first_weights(
    trial: TrialPlan, base_models: BaseModelCache, data: TokenisedData
) -> tuple[dict[str, Tensor], float]:
    with base_models.model(trial.settings, data.splits.labels) as model:
        flops = set_first_weights(model, trial.settings, base_models=base_models, data=data)
        return {
            name: weight.detach().clone() for name, weight in model.named_parameters() if "lora_" in name
        }, flops  # fmt: skip


def test_directions_are_orthonormal_repeat_and_follow_from_the_training_rows_alone(
    model_dir: Path, base_models: BaseModelCache, data: TokenisedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = make_plan(model_dir, adapter=EVA)
    monkeypatch.setattr(TokenisedData, "validation", None)
    state = torch.get_rng_state()
    found, flops = first_weights(trial, base_models, data)
    assert torch.equal(torch.get_rng_state(), state)
    again, _ = first_weights(trial, base_models, data)
    assert flops > 0 and all(torch.equal(weight, again[name]) for name, weight in found.items())
    for name, weight in found.items():
        if "lora_A" in name:
            assert torch.allclose(weight @ weight.T, torch.eye(4), atol=1e-3), name
        else:
            assert not weight.any()
    other, _ = first_weights(make_plan(model_dir, adapter=EVA, trainer={"seed": 1}), base_models, data)
    assert any(not torch.equal(weight, other[name]) for name, weight in found.items())


def test_the_directions_are_those_of_what_a_layer_reads(
    model_dir: Path, base_models: BaseModelCache, data: TokenisedData
) -> None:
    """By an SVD of all inputs at once."""
    trial = make_plan(model_dir, adapter={**EVA, "r": 2}, trainer={"per_device_eval_batch_size": 40})
    found, _ = first_weights(trial, base_models, data)
    name = next(name for name in found if "layer.0" in name and "query.lora_A" in name)
    base, seen = base_models.frozen(trial.settings, data.splits.labels), []
    query = base.bert.encoder.layer[0].attention.self.query
    handle = query.register_forward_pre_hook(lambda _, given: seen.append(given[0][0]))
    tokenizer = base_models.tokenizer(trial.settings.model)
    with torch.no_grad():
        for row in data.train(tokenizer, None, None):
            base(input_ids=torch.tensor([row["input_ids"]]))
    handle.remove()
    values = torch.cat(seen)
    expected = torch.linalg.svd(values - values.mean(0), full_matrices=False).Vh[:2]
    assert torch.allclose((found[name] @ expected.T).abs(), torch.eye(2), atol=2e-2)


def test_a_method_that_reads_no_rows_costs_nothing(
    model_dir: Path, base_models: BaseModelCache, data: TokenisedData
) -> None:
    assert first_weights(make_plan(model_dir, adapter={"init": "gaussian"}), base_models, data)[1] == 0


@pytest.mark.parametrize(
    "sections", [{"adapter": {**EVA, "quantization": "nf4"}}, {"adapter": EVA, "head": "probe"}], ids=str
)
def test_with_a_base_in_four_bits_and_with_a_probe(
    model_dir: Path, base_models: BaseModelCache, data: TokenisedData, watcher: Watcher, sections: dict[str, Any]
) -> None:
    probe = {"head_init": sections.pop("head")} if "head" in sections else {}
    trial = make_plan(model_dir, adapter={**sections["adapter"], **probe})
    assert watcher.run(trial, base_models=base_models, data=data).cost.steps > 0


def test_rows_with_fewer_tokens_than_the_rank_are_told(
    model_dir: Path, base_models: BaseModelCache, data: TokenisedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial, train = make_plan(model_dir, adapter={**EVA, "r": 16}), data.train
    monkeypatch.setattr(TokenisedData, "train", lambda self, *given: train(*given).select(range(2)))
    with pytest.raises(
        UserError, match=r"adapter.r: is 16, but adapter.init is eva, and the training rows have \d+ tokens"
    ):
        first_weights(trial, base_models, data)


@pytest.mark.parametrize(("verdict", "kind"), [(Verdict.PRUNE, Pruned), (Verdict.TIME_OUT, Failed)])
def test_the_study_can_end_the_trial_meanwhile(
    model_dir: Path, data: TokenisedData, verdict: Verdict, kind: type
) -> None:
    outcome = Watcher(judge=lambda _: verdict).run(
        make_plan(model_dir, adapter=EVA), base_models=BaseModelCache("cpu"), data=data
    )
    assert isinstance(outcome, kind) and outcome.cost.steps == 0


def test_a_method_that_does_not_come_to_an_end_is_stopped(
    model_dir: Path, base_models: BaseModelCache, data: TokenisedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweep.engine.first_weights._MOST_PASSES", 1)
    with pytest.raises(UserError, match="adapter.init: is eva, but its directions did not settle in 1 passes"):
        first_weights(make_plan(model_dir, adapter={**EVA, "r": 16}), base_models, data)


def test_what_stops_it_is_raised(model_dir: Path, base_models: BaseModelCache, data: TokenisedData) -> None:
    def stop() -> None:
        raise Stopped

    trial = make_plan(model_dir, adapter=EVA)
    with base_models.model(trial.settings, data.splits.labels) as model, pytest.raises(Stopped):
        set_first_weights(model, trial.settings, base_models=base_models, data=data, check_stop=stop)
