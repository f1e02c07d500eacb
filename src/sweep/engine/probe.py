"""`adapter.head_init=probe`: the last linear layer of a head starts as a linear probe of the
frozen base.

The probe is a logistic regression on what enters that layer before anything is trained:
multinomial where a row has one label, one against the rest for each label where it may have
several. It reads the training rows alone. Its penalty is chosen by rows that are set aside, so
that its logits are calibrated, and not only in the right order: training then starts from a loss
that is worth going on from. A linear probe before fine-tuning is the advice of Kumar et al. 2022
(arXiv 2202.10054).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim import LBFGS

from sweep.config.schema import Task
from sweep.config.settings import TrainSettings
from sweep.data.collate import collator
from sweep.data.tokenise import TokenisedData
from sweep.engine.arguments import autocast
from sweep.engine.cached_head import Features
from sweep.engine.loss import summed
from sweep.errors import UserError
from sweep.model.account import unwrapped
from sweep.model.base_model_cache import BaseModelCache
from sweep.model.features import HeadModel, NotPackable

KEY = "adapter.head_init"
# Strengths of the penalty on standardised weights, beside the loss summed over rows.
STRENGTHS = (300.0, 100.0, 30.0, 10.0, 3.0, 1.0)

_ROWS_AT_ONCE = 4096  # vectors in one forward pass of the head
_CHOSEN_BY = 2500  # rows, at most, that choose the strength; a fifth of them is set aside
_ITERATIONS = 60


def initialise_head(
    model: nn.Module,
    settings: TrainSettings,
    *,
    base_models: BaseModelCache,
    data: TokenisedData,
    check_stop: Callable[[], None] = lambda: None,
) -> float:
    """Set the last linear layer of an untrained model of `base_models`, in its context, as
    `settings.adapter.head_init` says. Its other weights, and torch's generators, stay as they are;
    the model is left in eval mode.

    Features come from the cache of `base_models`. A probe is fitted once for a base, the rows and,
    where a layer that starts anew comes before the last one, the seed. `check_stop` is called
    after each batch of the base, as by `Features`.

    Return the floating-point operations that the base took, 0 where the features were known.
    Raises UserError where the head reads more of the base than one vector a row, or does not end
    in a linear layer.
    """
    if settings.adapter.head_init == "random":
        return 0.0
    tokenizer, labels = base_models.tokenizer(settings.model), data.splits.labels
    rows = data.train(tokenizer, settings.max_length)
    inner = unwrapped(model)
    features = Features(base_models, inner, settings, collator(tokenizer, labels), check_stop)
    try:
        split = features.split(rows)
        head = HeadModel(inner, base_models.head).eval()
        with torch.no_grad(), autocast(settings.trainer, base_models.device):
            last = last_linear(head, split.states[:2])
    except NotPackable as error:
        raise UserError.of(KEY, f"is probe, but {error}; use random") from None

    def fitted() -> Tensor:
        with autocast(settings.trainer, base_models.device):
            entering = _entering(head, last, split.states)
        return fit(entering, split.labels, labels=len(labels), task=labels.task, bias=last.bias is not None)

    earlier = {weight for weight in head.parameters() if weight.requires_grad} - set(last.parameters())
    seed = settings.trainer.seed if earlier else None
    probe = features.derived(rows, f"probe {seed} {last.weight.dtype}", fitted)
    with torch.no_grad():
        last.weight.copy_(probe[:, :-1])
        if last.bias is not None:
            last.bias.copy_(probe[:, -1])
    return 2.0 * features.tokens * inner.num_parameters(exclude_embeddings=True)


def last_linear(head: HeadModel, states: Tensor) -> nn.Linear:
    """Return the layer whose outputs are the logits. `states` are those of some rows. Raises
    NotPackable where there is none."""
    calls: list[tuple[nn.Linear, Tensor]] = []
    layers = [module for module in head.modules() if isinstance(module, nn.Linear)]
    handles = [
        layer.register_forward_hook(lambda module, _, output: calls.append((module, output))) for layer in layers
    ]
    try:
        logits = head(states)
    finally:
        for handle in handles:
            handle.remove()
    if not calls or not torch.equal(calls[-1][1].reshape(logits.shape), logits):
        raise NotPackable(f"the head of {type(head.classifier).__name__} does not end in a linear layer")
    return calls[-1][0]


def fit(entering: Tensor, truth: Tensor, *, labels: int, task: Task, bias: bool) -> Tensor:
    """Fit a probe on vectors, (rows, width), and their labels, (rows,) or for multi-label (rows,
    labels). Return its weights, float32, (labels, width + 1); the last column is the bias, zeros
    where there is no `bias`.

    The result is deterministic. Weights are penalised on standardised vectors, and the bias as
    much, so that a label that no row has keeps a finite logit.
    """
    values = entering.float()
    middle = values.mean(0) if bias else torch.zeros_like(values[0])
    spread = (values - middle).square().mean(0).sqrt()
    spread = torch.where(spread > 1e-6 * spread.max(), spread, spread.max().clamp(min=1e-12))
    table = (values - middle) / spread
    if bias:
        table = torch.cat([table, torch.ones_like(table[:, :1])], dim=1)
    start = table.new_zeros(labels, table.shape[1])
    strength, start = _strength(table, truth, start, task)
    found = _solve(table, truth, start, strength, task)
    weight = found[:, : len(middle)] / spread
    added = found[:, len(middle) :] - (weight @ middle).unsqueeze(1) if bias else weight.new_zeros(labels, 1)
    return torch.cat([weight, added], dim=1)


def _strength(table: Tensor, truth: Tensor, start: Tensor, task: Task) -> tuple[float, Tensor]:
    """Try penalties from strong to weak until the loss on the rows set aside rises. Return the
    best one, and the weights that it gave on the other rows."""
    order = torch.randperm(len(table), generator=torch.Generator().manual_seed(0))[:_CHOSEN_BY].to(table.device)
    aside, others = order[: len(order) // 5], order[len(order) // 5 :]
    best, chosen, loss = start, STRENGTHS[0], float("inf")
    for strength in STRENGTHS if len(aside) else ():
        start = _solve(table[others], truth[others], start, strength, task)
        found = summed(task, table[aside] @ start.T, truth[aside]).item()
        if not found < loss:
            break
        best, chosen, loss = start, strength, found
    return chosen, best


def _solve(table: Tensor, truth: Tensor, start: Tensor, strength: float, task: Task) -> Tensor:
    weights = start.clone().requires_grad_()
    optimizer = LBFGS([weights], max_iter=_ITERATIONS, line_search_fn="strong_wolfe", tolerance_grad=1e-5)

    def objective() -> Tensor:
        optimizer.zero_grad()
        loss = (summed(task, table @ weights.T, truth) + strength / 2 * weights.square().sum()) / len(table)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    with torch.enable_grad():
        optimizer.step(objective)  # type: ignore[no-untyped-call]
    return weights.detach()


def _entering(head: HeadModel, last: nn.Linear, states: Tensor) -> Tensor:
    """Return the input of `last` for each row, (rows, width)."""
    with _inputs_of(last) as seen, torch.no_grad():
        for part in torch.split(states, _ROWS_AT_ONCE):
            head(part)
    return torch.cat([part.reshape(-1, part.shape[-1]).float() for part in seen])


@contextmanager
def _inputs_of(layer: nn.Linear) -> Iterator[list[Tensor]]:
    seen: list[Tensor] = []
    handle = layer.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    try:
        yield seen
    finally:
        handle.remove()
