"""Dropout in a pack: each trial draws masks of its own from its seed, distributed as the
Trainer's."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AlbertConfig, AlbertForSequenceClassification, OPTConfig, OPTForSequenceClassification

from support.packable import tiny
from support.packs import CLOSE, EXACT, Run, assert_identical, one_by_one, packed, steady_plan
from support.trials import ROWS
from sweep.data.tokenise import TokenisedData
from sweep.engine.packed.packed_model import PackedModel
from sweep.records.trial import TrialPlan

Plan = Callable[..., TrialPlan]

HEAVY = 0.3
LABELS = ("card", "cash", "fees", "other")  # of a head that is saved with the base: a seed draws no other one
NOTHING_LEARNT = 1e-12  # a learning rate
WHOLE = {"per_device_train_batch_size": ROWS}  # whatever the order of rows, a step sees them all


@pytest.fixture(scope="session")
def shaky_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny("bert", tmp_path_factory.mktemp("shaky-bert"), dropout=HEAVY, labels=LABELS)


@pytest.fixture(scope="session")
def still_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny("bert", tmp_path_factory.mktemp("still-bert"), labels=LABELS)


@pytest.fixture
def shaky(shaky_model_dir: Path) -> Plan:
    return lambda number=0, **sections: steady_plan(shaky_model_dir, number, **sections)


def mates(shaky: Plan, trial: TrialPlan) -> list[TrialPlan]:
    """Return trials with `trial` second in the pack, and a trial that joins when another has
    left."""
    lora = {"lora_dropout": 0.2}
    return [
        shaky(1, trainer={"seed": 11, "per_device_train_batch_size": 3, "num_train_epochs": 0.5}, adapter=lora),
        trial,
        shaky(3, trainer={"seed": 13, "num_train_epochs": 1}, adapter={"method": "ia3"}),
        shaky(4, trainer={"seed": 14, "per_device_train_batch_size": 20}, adapter={"r": 4, **lora}),
    ]


def own(shaky: Plan, **trainer: Any) -> TrialPlan:
    return shaky(2, adapter={"lora_dropout": 0.1}, trainer={"seed": 5, "num_train_epochs": 1.4, **trainer})


@pytest.mark.usefixtures("in_double")
def test_masks_do_not_depend_on_the_rest_of_the_pack(shaky: Plan, data: TokenisedData) -> None:
    alone = packed(own(shaky), data=data).losses(2)
    assert packed(*mates(shaky, own(shaky)), data=data).losses(2) == pytest.approx(alone, rel=EXACT)
    late = [shaky(9, trainer={"num_train_epochs": 0.4}), *mates(shaky, own(shaky))]
    assert packed(*late, data=data, slots=2).losses(2) == pytest.approx(alone, rel=EXACT)


@pytest.mark.usefixtures("in_double")
def test_a_trial_that_drops_nothing_draws_nothing(shaky: Plan, data: TokenisedData) -> None:
    """The masks do not depend on the dropout of other trials, on the same layers or on others."""
    lora = {"lora_dropout": 0.3, "target_modules": ("query", "key", "value")}
    mate, still = shaky(1, trainer={"seed": 1}, adapter=lora), shaky(2, trainer={"seed": 2, "num_train_epochs": 1})
    alone = packed(still, data=data).losses(2)
    assert packed(mate, still, data=data).losses(2) == pytest.approx(alone, rel=EXACT)


def test_masks_are_the_trials_own_in_single_precision(shaky: Plan, data: TokenisedData) -> None:
    alone = packed(own(shaky), data=data).losses(2)
    assert packed(*mates(shaky, own(shaky)), data=data).losses(2) == pytest.approx(alone, rel=CLOSE, abs=CLOSE)


@pytest.mark.usefixtures("in_double")
def test_a_layer_computed_again_drops_the_same(shaky: Plan, data: TokenisedData) -> None:
    plain = packed(own(shaky), data=data).losses(2)
    assert packed(own(shaky, gradient_checkpointing=True), data=data).losses(2) == pytest.approx(plain, rel=EXACT)


def test_evaluations_do_not_move_the_masks(shaky: Plan, data: TokenisedData) -> None:
    seldom = packed(own(shaky, eval_strategy="no"), data=data).losses(2)
    assert packed(own(shaky, eval_strategy="steps", eval_steps=1), data=data).losses(2) == seldom


def test_the_same_pack_twice_gives_the_same_numbers(shaky: Plan, data: TokenisedData, tmp_path: Path) -> None:
    trials = mates(shaky, own(shaky))
    first, second = (packed(*trials, data=data, folder=tmp_path / name) for name in ("first", "second"))
    assert_identical(first, second, *first.numbers)


@pytest.fixture
def in_one_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """All rows are in one batch, always in the same order: losses then differ by masks alone."""
    monkeypatch.setattr("sweep.engine.optimizer_steps.row_order", lambda lengths, _: [list(range(len(lengths)))])


@pytest.mark.usefixtures("in_one_order")
def test_seeds_draw_masks_of_their_own(shaky: Plan, still_model_dir: Path, data: TokenisedData) -> None:
    """Head and adapter have no effect yet: without dropout, the first losses would be equal."""
    once = {**WHOLE, "num_train_epochs": 1}
    still = [steady_plan(still_model_dir, number, trainer={**once, "seed": number}) for number in range(2)]
    found = packed(*still, data=data)
    assert found.losses(0) == pytest.approx(found.losses(1), rel=CLOSE)
    found = packed(*(shaky(number, trainer={**once, "seed": number}) for number in range(3)), data=data)
    first = [found.losses(number)[0] for number in range(3)]
    assert min(abs(first[0] - first[1]), abs(first[0] - first[2]), abs(first[1] - first[2])) > 1e-3


@pytest.mark.usefixtures("in_one_order")
def test_every_batch_draws_masks_of_its_own(shaky: Plan, data: TokenisedData) -> None:
    trial = shaky(0, optimizer={"learning_rate": NOTHING_LEARNT}, trainer={**WHOLE, "num_train_epochs": 6})
    losses = sorted(packed(trial, data=data).losses(0))
    assert min(later - earlier for earlier, later in pairwise(losses)) > 1e-4


def test_every_layer_drops_what_its_config_says(
    shaky: Plan, data: TokenisedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[tuple[nn.Module, int], Any] = {}
    clear = PackedModel.clear
    monkeypatch.setattr(PackedModel, "clear", lambda self: (seen.update(self._context.masks), clear(self)))
    packed(shaky(0, adapter={"lora_dropout": 0.1}, trainer={**WHOLE, "num_train_epochs": 1}), data=data)
    by_kind: dict[str, list[Tensor]] = {}
    for (module, _), mask in seen.items():
        parts = mask if isinstance(mask, list) else [mask]
        by_kind.setdefault(type(module).__name__, []).append(torch.cat([part.flatten() for part in parts]))
    assert {kind: len(drawn) for kind, drawn in by_kind.items()} == {
        "PackedDropout": 5, "BertSelfAttention": 2, "MultiAdapterLinear": 4,
    }  # fmt: skip
    for kind, wanted in {"PackedDropout": HEAVY, "BertSelfAttention": HEAVY, "MultiAdapterLinear": 0.1}.items():
        for drawn in by_kind[kind]:
            assert (drawn == 0).double().mean().item() == pytest.approx(wanted, abs=0.03), kind
            assert drawn.max().item() == pytest.approx(1 / (1 - wanted), rel=1e-3), kind


def test_a_layer_that_runs_twice_drops_other_values_each_time(
    data: TokenisedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ALBERT has one layer, which it runs as often as its config says."""
    seen: dict[tuple[nn.Module, int], Any] = {}
    clear = PackedModel.clear
    monkeypatch.setattr(PackedModel, "clear", lambda self: (seen.update(self._context.masks), clear(self)))
    model = {"path": str(albert(tmp_path)), "pooling": "mean"}  # its pooler is spread over two modules
    found = packed(steady_plan(tmp_path, model=model, trainer={**WHOLE, "num_train_epochs": 1}), data=data)
    assert found.outcome(0).cost.engine == "packed"
    assert {turn for _, turn in seen} == {0, 1}
    for module, turn in seen:
        if turn:
            first, second = (seen[module, one] for one in (0, 1))
            parts = zip(first, second, strict=True) if isinstance(first, list) else [(first, second)]
            assert not any(torch.equal(one, other) for one, other in parts)


@pytest.mark.parametrize(("dropout", "engine"), [(0.0, "packed"), (0.1, "trainer")])
def test_random_numbers_that_no_trial_owns(
    data: TokenisedData, tmp_path: Path, caplog: pytest.LogCaptureFixture, dropout: float, engine: str
) -> None:
    """OPT's layers call torch's dropout themselves, and draw a number to skip layers by, which
    without skipping decides nothing."""
    model = tiny("gpt2", tmp_path / "opt")
    with torch.random.fork_rng([]):
        torch.manual_seed(3)
        shape = OPTConfig(
            vocab_size=8, hidden_size=32, ffn_dim=64, word_embed_proj_dim=32, num_hidden_layers=2, init_std=0.2,
            num_attention_heads=2, max_position_embeddings=32, dropout=dropout, pad_token_id=0, bos_token_id=0, eos_token_id=0,
        )  # fmt: skip
        OPTForSequenceClassification(shape).save_pretrained(model)
    found = packed(steady_plan(model, trainer={"num_train_epochs": 1}), data=data)
    assert found.outcome(0).cost.engine == engine
    assert ("no trial's own" in caplog.text) == (engine == "trainer")


def albert(folder: Path) -> Path:
    model = tiny("bert", folder / "albert")
    with torch.random.fork_rng([]):
        torch.manual_seed(3)
        shape = AlbertConfig(
            vocab_size=11, embedding_size=16, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
            num_attention_heads=2, max_position_embeddings=32, initializer_range=0.2, hidden_dropout_prob=HEAVY,
            attention_probs_dropout_prob=HEAVY, pad_token_id=0, bos_token_id=2, eos_token_id=3,
        )  # fmt: skip
        AlbertForSequenceClassification(shape).save_pretrained(model)
    return model


def test_equal_seeds_draw_equal_masks(shaky: Plan, data: TokenisedData) -> None:
    """The trials differ in their learning rates, which do not matter before the first step."""
    once = {**WHOLE, "num_train_epochs": 1, "seed": 3}
    trials = [
        shaky(number, trainer=once, optimizer={"learning_rate": rate}) for number, rate in enumerate((1e-3, 1e-2))
    ]
    found = packed(*trials, data=data)
    assert found.losses(0) == pytest.approx(found.losses(1), rel=1e-5)


def test_evaluations_drop_nothing(shaky: Plan, data: TokenisedData) -> None:
    trials = [
        shaky(number, optimizer={"learning_rate": NOTHING_LEARNT}, adapter={"lora_dropout": 0.5},
              trainer={"num_train_epochs": 1, "seed": number})
        for number in range(2)
    ]  # fmt: skip
    found, expected = packed(*trials, data=data), one_by_one(*trials, data=data)
    for number in range(2):
        ours, theirs = found.outcome(number).evals[0].metrics, expected.outcome(number).evals[0].metrics
        assert ours == pytest.approx(theirs, rel=CLOSE)


@pytest.mark.parametrize("name", ["bert", "distilbert", "gpt2", "llama"])
def test_losses_scatter_as_the_trainers_do(data: TokenisedData, tmp_path: Path, name: str) -> None:
    """The losses are those of a fixed model, over steps with fresh masks. Their mean shows dropout
    that is missing or too strong; their spread shows masks that rows or positions share."""
    model = tiny(name, tmp_path / name, dropout=HEAVY, labels=LABELS)
    trial = steady_plan(
        model, 0, optimizer={"learning_rate": NOTHING_LEARNT},
        trainer={**WHOLE, "num_train_epochs": 40, "eval_strategy": "no"},
    )  # fmt: skip
    ours, theirs = packed(trial, data=data).losses(0), one_by_one(trial, data=data).losses(0)
    assert len(set(ours)) == len(ours)
    assert abs(statistics.mean(ours) - statistics.mean(theirs)) < 3.5 * apart(ours, theirs)
    assert 1 / 3 < statistics.variance(ours) / statistics.variance(theirs) < 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dropout", "adapter"),
    [
        (0.2, {"lora_dropout": 0.2}),
        (0.0, {"lora_dropout": 0.6, "target_modules": "all-linear"}),
        (0.2, {"method": "ia3"}),
    ],
    ids=str,
)
def test_trials_learn_as_they_do_by_the_trainer(
    data: TokenisedData, tmp_path: Path, dropout: float, adapter: dict[str, Any]
) -> None:
    """Final training losses of sixteen seeds, seed by seed: the same first weights, the same rows,
    other masks."""
    model = tiny("bert", tmp_path / "bert", dropout=dropout)
    trials = [
        steady_plan(model, seed, adapter=adapter, trainer={"seed": seed, "num_train_epochs": 4, "eval_strategy": "no"})
        for seed in range(16)
    ]
    ours, theirs = (final_losses(run) for run in (packed(*trials, data=data), one_by_one(*trials, data=data)))
    gaps = [one - other for one, other in zip(ours, theirs, strict=True)]
    assert abs(statistics.mean(gaps)) < 3 * statistics.stdev(gaps) / len(gaps) ** 0.5


def final_losses(run: Run) -> list[float]:
    """The mean over the last epoch, by trial."""
    return [statistics.mean(run.losses(number)[-5:]) for number in sorted(run.numbers)]


def apart(ours: list[float], theirs: list[float]) -> float:
    """The standard error of the difference of two means."""
    return float((statistics.variance(ours) / len(ours) + statistics.variance(theirs) / len(theirs)) ** 0.5)
