"""Values that the user set and that come to nothing beside the others: allowed, and told."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sweep.config.schema import Config
from sweep.config.space import Space


def idle(config: Config, space: Space, said: Callable[[str], bool]) -> list[str]:
    """A note for each reason, with the keys that it keeps without effect. `said` tells of a key whether it was the user who set it,
    and not a config that ships. A reason that is searched may hold in no trial, and is not given."""
    notes = []
    for causes, keys, reason in _reasons(config):
        given = [key for key in keys if said(key)]
        if given and not any(cause in space for cause in causes):
            one = len(given) == 1
            named = given[0] if one else f"{', '.join(given[:-1])} and {given[-1]}"
            notes.append(f"{named} {'has' if one else 'have'} no effect: {reason}")
    return notes


def _reasons(config: Config) -> Iterator[tuple[tuple[str, ...], tuple[str, ...], str]]:
    """The group and key that decide, those that it keeps without effect, and why."""
    dataset = config.dataset
    if config.adapter.quantization == "none":
        keys = ("adapter.double_quantization", "adapter.compute_dtype")
        reason = "adapter.quantization is none, so that the base is not quantised (adapter=qlora)"
        yield ("adapter", "adapter.quantization"), keys, reason
    if config.model.init == "pretrained":
        yield (
            ("model", "model.init"),
            ("model.config",),
            "model.init is pretrained, and the config is that of model.path",
        )
    else:
        yield (
            ("model", "model.init"),
            ("model.gguf_file", "model.revision"),
            "model.init is random, and no weights are read",
        )
    if dataset.validation_split is not None:
        cut = ("dataset.validation_ratio", *(("dataset.stratify",) if dataset.test_ratio is None else ()))
        yield (
            (),
            cut,
            f"dataset.validation_split is {dataset.validation_split}, so that nothing is cut off train",
        )
    if dataset.label_columns:
        yield (), ("dataset.label_column",), "dataset.label_columns names the columns of the labels"
    if config.tracker.name == "none":
        names = ("mode", "project", "entity", "tags", "finish_timeout", "max_wait")
        yield (), tuple(f"tracker.{name}" for name in names), "tracker is none, and nothing is tracked"
