"""Data sets of the Hugging Face hub. No other module loads rows from the network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from sweep.config.schema import DatasetConfig
from sweep.data.nested import dotted_names, held_by, pick
from sweep.data.raw import OF_TEXT, Raw, Source, joined, listed
from sweep.errors import Fault, UserError, first_line

if TYPE_CHECKING:
    import datasets

SECONDS = 10
CONVERTED = "refs/convert/parquet"
LOCAL_COPY = (
    "To use a local copy, set dataset.path to a folder that holds one file a split, "
    "such as train.csv and test.csv (or .tsv, .txt, .jsonl, .json, .parquet), or that save_to_disk wrote"
)


def open_hub(config: DatasetConfig, wanted: Set[str]) -> Source:
    """Return every split, loaded from the hub, or from its cache if the hub cannot be reached.

    Raises UserError.
    """
    import datasets

    commit = _commit(config)
    try:
        with _only_cached() if commit is None else nullcontext():
            loaded = datasets.load_dataset(config.path, revision=commit or config.revision, **_configuration(config))
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise UserError([_fault(config, error, reached=commit is not None)]) from None
    return Source(lambda key, split: joined(key, split, lambda name: split_of(loaded, key, name, wanted)), commit or "")


def _configuration(config: DatasetConfig) -> dict[str, Any]:
    """Return the argument that selects the configuration: in the hub's own conversion to Parquet
    each is a folder."""
    if config.name is None:
        return {}
    return {"data_dir" if config.revision == CONVERTED else "name": config.name}


def _commit(config: DatasetConfig) -> str | None:
    """Return the commit of `revision`; None if the hub cannot be reached.

    This short request comes first, because `datasets` would retry for half a minute. Raises
    UserError.
    """
    from huggingface_hub import HfApi, errors

    try:
        return HfApi().dataset_info(config.path, revision=config.revision, timeout=SECONDS).sha or ""
    except errors.RevisionNotFoundError:
        rule = f"is {config.revision}, which {config.path} does not have on the hub"
        raise UserError.of("dataset.revision", rule) from None
    except (errors.RepositoryNotFoundError, errors.HFValidationError):
        rule = f"is {config.path}, which is no folder or file here, and no data set on the hub that you may read"
        raise UserError.of("dataset.path", f"{rule}. {LOCAL_COPY}") from None
    except (OSError, errors.HTTPError):  # type: ignore[attr-defined]  # the base of all that httpx raises
        return None


@contextmanager
def _only_cached() -> Iterator[None]:
    """Switch `datasets` to its offline mode, in which it loads from its cache or fails at once."""
    import datasets

    before = datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE = before


def _fault(config: DatasetConfig, error: Exception, *, reached: bool) -> Fault:
    if not reached:
        rule = f"is {config.path}, which is no folder or file here, and the hub cannot be reached to look there"
        return Fault("dataset.path", f"{rule}. {LOCAL_COPY}")
    if "BuilderConfig" in str(error) or "Config name is missing" in str(error):
        return Fault("dataset.name", f"is {config.name}, but {config.path} says: {first_line(error)}")
    if "scripts are no longer supported" in str(error):
        rule = f"is {config.path}, which is a data set script, and sweep runs none; try dataset.revision=refs/convert/parquet"
        return Fault("dataset.path", rule)
    return Fault("dataset.path", f"is {config.path}, which cannot be loaded: {first_line(error)}. {LOCAL_COPY}")


def split_of(loaded: Mapping[str, datasets.Dataset], key: str, name: str, wanted: Set[str]) -> Raw:
    if name not in loaded:
        raise UserError.of(key, f"is {name}, but the data set has the splits {listed(sorted(loaded))}")
    return from_dataset(loaded[name], wanted)


def from_dataset(dataset: datasets.Dataset, wanted: Set[str]) -> Raw:
    """Return the rows of a `datasets.Dataset`, with label names in place of codes.

    Code -1, "no label", becomes null.
    """
    schema = dataset.features.arrow_schema
    table = pick(dataset.select_columns(held_by(wanted, schema)).with_format("arrow")[:], wanted)
    for index, name in enumerate(table.column_names):
        feature = _feature(dataset, name)
        if coded := getattr(feature, "names", None):
            labels = pa.array([_named(code, coded) for code in table[name].to_pylist()], pa.string())
        elif coded := getattr(getattr(feature, "feature", None), "names", None):
            rows = [codes and [_named(code, coded) for code in codes] for codes in table[name].to_pylist()]
            labels = pa.array(rows, pa.list_(pa.string()))
        else:
            continue
        table = table.set_column(index, name, labels)
    return Raw(table, dotted_names(schema), typed=True, form="a Dataset", unread=OF_TEXT)


def _feature(dataset: datasets.Dataset, name: str) -> object:
    """Return the type of a column, or of a field within a column by its dotted name."""
    if name in dataset.features:
        return dataset.features[name]
    found: Any = dataset.features
    for part in name.split("."):
        found = found[part]
    return found


def _named(code: int | None, names: list[str]) -> str | None:
    return None if code is None or code < 0 else names[code]
