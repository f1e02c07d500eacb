"""A head that starts as a linear probe of the frozen base."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn import functional
from transformers import BertForSequenceClassification
from transformers.modeling_outputs import SequenceClassifierOutput

from support.tiny import tiny_bert, tiny_distilbert, tiny_gpt2, tiny_roberta
from support.trials import Watcher, make_plan, retrained
from sweep.config.settings import TrainSettings
from sweep.data.collate import collator
from sweep.data.tokenise import TokenisedData
from sweep.engine import probe
from sweep.engine.evaluation import predict
from sweep.engine.loss import mean_loss
from sweep.engine.probe import fit, initialise_head, last_linear
from sweep.errors import UserError
from sweep.model.account import unwrapped
from sweep.model.base_model_cache import BaseModelCache
from sweep.model.features import HeadModel, NotPackable
from sweep.model.state import trainable_state
from sweep.records.trial import Completed, Failed, Pruned, Verdict

PROBE = {"head_init": "probe"}
METHODS: dict[str, dict[str, Any]] = {
    "lora": {"method": "lora"}, "qlora": {"method": "lora", "quantization": "nf4"}, "ia3": {"method": "ia3"},
    "head": {"method": "head"}, "full": {"method": "full"},
}  # fmt: skip
BASES: dict[str, Callable[[Path], Path]] = {
    "bert": tiny_bert,
    "bert-fresh-pooler": lambda folder: tiny_bert(folder, pooler=False),
    "distilbert": tiny_distilbert,
    "roberta": tiny_roberta,
    "gpt2": tiny_gpt2,
}


def drawn(rows: int, *, sharpness: float = 1.5) -> tuple[Tensor, Tensor, Tensor]:
    """Vectors of very different spreads, labels drawn by a true model, and that model's
    log-probabilities."""
    generator = torch.Generator().manual_seed(rows)
    values = torch.randn(rows, 6, generator=generator)
    rule = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
    truth = (sharpness * values @ rule).log_softmax(-1)
    labels = torch.multinomial(truth.exp(), 1, generator=generator).squeeze(1)
    return (
        values * torch.tensor([1.0, 100.0, 1e-3, 1.0, 5.0, 0.1]) + torch.tensor([0.0, 7.0, 0.0, -3.0, 0.0, 1.0]),
        labels,
        truth,
    )


def scores(found: Tensor, values: Tensor) -> Tensor:
    return values @ found[:, :-1].T + found[:, -1]


def test_logits_of_unseen_rows_are_calibrated() -> None:
    values, labels, _ = drawn(1000)
    found = fit(values, labels, labels=3, task="single_label", bias=True)
    unseen, theirs, truth = drawn(2000)
    best = functional.nll_loss(truth, theirs)
    assert functional.cross_entropy(scores(found, unseen), theirs) < best + 0.02


def test_labels_of_chance_leave_hardly_any_weights() -> None:
    values, _, _ = drawn(200)
    labels = torch.randint(3, (200,), generator=torch.Generator().manual_seed(0))
    found = fit(values, labels, labels=3, task="single_label", bias=True)
    unseen, theirs, _ = drawn(500, sharpness=0.0)
    assert functional.cross_entropy(scores(found, unseen), theirs) < math.log(3) + 0.05


def test_it_is_the_regression_of_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "STRENGTHS", (3.0,))
    values, labels, _ = drawn(400)
    found = fit(values, labels, labels=3, task="single_label", bias=True)
    middle, spread = values.mean(0), values.std(0, correction=0)
    table = torch.cat([(values - middle) / spread, torch.ones(400, 1)], dim=1).double().numpy()
    theirs = LogisticRegression(C=1 / 3, fit_intercept=False, tol=1e-8, max_iter=1000).fit(table, labels.numpy())
    expected = torch.from_numpy(theirs.predict_log_proba(table)).float()
    torch.testing.assert_close(scores(found, values).log_softmax(-1), expected, rtol=0, atol=5e-3)


def test_several_labels_are_one_against_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "STRENGTHS", (3.0,))
    values, labels, _ = drawn(400)
    several = torch.stack([labels == 0, labels != 1, torch.zeros(400) > 0], dim=1).float()
    found = scores(fit(values, several, labels=3, task="multi_label", bias=True), values)
    for which in (0, 1):
        alone = fit(values, several[:, [which]], labels=1, task="multi_label", bias=True)
        torch.testing.assert_close(scores(alone, values)[:, 0], found[:, which], rtol=0, atol=1e-2)
    assert found[:, 2].max() < -3 and found.isfinite().all()  # a label that no row has


def test_without_a_bias_nothing_is_added() -> None:
    values, labels, _ = drawn(400)
    found = fit(values, labels, labels=3, task="single_label", bias=False)
    assert found.shape == (3, 7) and not found[:, -1].any()
    assert functional.cross_entropy(scores(found, values), labels) < 0.9 * math.log(3)


@pytest.mark.parametrize("rows", [1, 2, 6])
def test_few_rows_and_constant_columns_do(rows: int) -> None:
    values, labels, _ = drawn(rows)
    values[:, 3] = 5.0
    assert fit(values, labels, labels=3, task="single_label", bias=True).isfinite().all()


def train_loss(model: nn.Module, settings: TrainSettings, base_models: BaseModelCache, data: TokenisedData) -> float:
    tokenizer = base_models.tokenizer(settings.model)
    rows, collate = data.train(tokenizer, settings.max_length), collator(tokenizer, data.splits.labels)
    return predict(model, rows, collate=collate, batch_size=8, loss=mean_loss(settings)).loss


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("method", METHODS)
def test_every_method_and_head(base: str, method: str, data: TokenisedData, tmp_path: Path) -> None:
    settings = make_plan(BASES[base](tmp_path), adapter={**METHODS[method], **PROBE}).settings
    base_models, labels = BaseModelCache("cpu"), data.splits.labels
    with base_models.model(settings, labels) as model:
        before, generator = trainable_state(model), torch.get_rng_state()
        first = train_loss(model, settings, base_models, data)
        flops = initialise_head(model, settings, base_models=base_models, data=data)
        assert torch.equal(torch.get_rng_state(), generator)
        after, reached = trainable_state(model), train_loss(model, settings, base_models, data)
        assert initialise_head(model, settings, base_models=base_models, data=data) == 0 < flops
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert {after[name].shape[0] for name in changed} == {len(labels)}
    assert len(changed) == (1 if base == "gpt2" else 2)
    assert reached < first - 0.1


def test_several_labels(model_dir: Path, several: TokenisedData) -> None:
    settings = make_plan(model_dir, adapter=PROBE, dataset={"task": "multi_label"}).settings
    base_models = BaseModelCache("cpu")
    with base_models.model(settings, several.splits.labels) as model:
        first = train_loss(model, settings, base_models, several)
        initialise_head(model, settings, base_models=base_models, data=several)
        assert train_loss(model, settings, base_models, several) < first - 0.1


def test_random_does_nothing(model_dir: Path, data: TokenisedData) -> None:
    settings, base_models = make_plan(model_dir).settings, BaseModelCache("cpu")
    with base_models.model(settings, data.splits.labels) as model:
        before = trainable_state(model)
        assert initialise_head(model, settings, base_models=base_models, data=data) == 0
        assert all(torch.equal(weight, before[name]) for name, weight in trainable_state(model).items())


@pytest.mark.parametrize(("base", "fits"), [("bert", 1), ("bert-fresh-pooler", 2), ("distilbert", 2), ("gpt2", 1)])
def test_a_probe_is_fitted_once_where_the_seed_does_not_matter(
    base: str, fits: int, data: TokenisedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The layer in front of DistilBERT's last starts from the seed, as a pooler does that the
    checkpoint lacks."""
    count, real, base_models, folder = [], probe.fit, BaseModelCache("cpu"), BASES[base](tmp_path)
    monkeypatch.setattr(probe, "fit", lambda *args, **options: count.append(1) or real(*args, **options))
    found = []
    for adapter, seed in (("lora", 0), ("head", 1), ("full", 1), ("ia3", 0)):
        settings = make_plan(folder, adapter={**METHODS[adapter], **PROBE}, trainer={"seed": seed}).settings
        with base_models.model(settings, data.splits.labels) as model:
            flops = initialise_head(model, settings, base_models=base_models, data=data)
            found.append(train_loss(model, settings, base_models, data))
        assert (flops > 0) is (adapter == "lora")
    assert len(count) == fits
    assert found[0] == pytest.approx(found[3], abs=1e-5) and found[1] == pytest.approx(found[2], abs=1e-5)


def test_validation_rows_are_not_looked_at(
    model_dir: Path, data: TokenisedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "validation", None)
    settings, base_models = make_plan(model_dir, adapter=PROBE).settings, BaseModelCache("cpu")
    with base_models.model(settings, data.splits.labels) as model:
        initialise_head(model, settings, base_models=base_models, data=data)


@pytest.mark.parametrize("method", ["lora", "head"])
def test_a_trial_starts_from_it_and_repeats(
    model_dir: Path, data: TokenisedData, method: str, watcher: Watcher
) -> None:
    tiny_steps = {"learning_rate": 1e-9}
    trial = make_plan(model_dir, adapter={"method": method, **PROBE}, optimizer=tiny_steps)
    base_models = BaseModelCache("cpu")
    outcome = watcher.run(trial, base_models=base_models, data=data)
    assert isinstance(outcome, Completed)
    plain = Watcher()
    plain.run(
        make_plan(model_dir, adapter={"method": method}, optimizer=tiny_steps),
        base_models=BaseModelCache("cpu"),
        data=data,
    )
    assert watcher.evals[-1].metrics["eval/accuracy"] > plain.evals[-1].metrics["eval/accuracy"] + 0.2
    with retrained(trial, base_models=base_models, data=data) as again:
        assert [point.metrics for point in again.outcome.evals] == [point.metrics for point in outcome.evals]
        assert again.outcome.cost.flops < outcome.cost.flops  # who computes the features pays for them


@pytest.mark.parametrize(("verdict", "kind"), [(Verdict.PRUNE, Pruned), (Verdict.TIME_OUT, Failed)])
def test_the_study_can_end_it_while_features_are_computed(
    model_dir: Path, data: TokenisedData, verdict: Verdict, kind: type
) -> None:
    watcher = Watcher(judge=lambda _: verdict)
    outcome = watcher.run(make_plan(model_dir, adapter=PROBE), base_models=BaseModelCache("cpu"), data=data)
    assert isinstance(outcome, kind) and outcome.cost.steps == 0 and watcher.steps[0].step == 0 and not watcher.evals


def test_a_head_that_does_not_end_in_a_linear_layer_is_refused(model_dir: Path) -> None:
    model = BertForSequenceClassification.from_pretrained(model_dir)
    assert last_linear(HeadModel(model).eval(), torch.randn(2, 32)) is model.classifier
    model.register_forward_hook(lambda _module, _inputs, output: SequenceClassifierOutput(logits=2 * output.logits))
    with pytest.raises(NotPackable, match="does not end in a linear layer"):
        last_linear(HeadModel(model).eval(), torch.randn(2, 32))


def test_a_head_that_gives_all_rows_the_same_logits_is_named(model_dir: Path, data: TokenisedData) -> None:
    settings, base_models = make_plan(model_dir, adapter=PROBE).settings, BaseModelCache("cpu")
    with base_models.model(settings, data.splits.labels) as model:
        unwrapped(model).classifier.register_forward_hook(lambda _module, _inputs, output: 0 * output)
        with pytest.raises(UserError, match="adapter.head_init: is probe, but Bert.* gives all rows the same logits"):
            initialise_head(model, settings, base_models=base_models, data=data)
