"""The part of the config that names the data set and says how its rows are divided."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from sweep.config.extra_metrics import dotted, extra_or_dotted, is_extra
from sweep.config.section import Count, Names, Section

Tokens = Annotated[int, Field(ge=1, le=10**7)]
Share = Annotated[float, Field(gt=0, lt=1)]
Samples = Count | Share | None
Folds = Annotated[int | None, Field(ge=1, le=100), AfterValidator(lambda folds: None if folds == 1 else folds)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # what NumPy takes


def is_encoding(name: str) -> bool:
    """Return whether Python has a text encoding of this name. Its base64 encodes no text."""
    try:
        "".encode(name)
    except (LookupError, ValueError):
        return False
    return True


def _known_encoding(name: str) -> str:
    if not is_encoding(name):
        raise PydanticCustomError(
            "encoding", "be a text encoding that Python knows, such as utf-8, utf-16, cp1252 or shift_jis"
        )
    return name


Encoding = Annotated[str, AfterValidator(_known_encoding)]


TAB = {"tab": "\t", "\\t": "\t"}  # what may stand for a tab, which is hard to type


def _one_character(text: str) -> str:
    if len(text) != 1:
        raise PydanticCustomError("delimiter", "be one character, or tab")
    return text


Delimiter = Annotated[str, AfterValidator(lambda text: _one_character(TAB.get(text, text)))]

DottedPath = Annotated[str, AfterValidator(dotted)]

ExtraMetric = Annotated[str, AfterValidator(extra_or_dotted)]

Task = Literal["single_label", "multi_label"]


class DatasetConfig(Section):
    path: str = Field(
        "", description="hub id, a directory of CSV / JSON lines / Parquet files, one such file, or a saved Dataset"
    )
    name: str | None = Field(None, description="configuration of a hub data set; local files have none")
    revision: str | None = Field(None, description="branch, tag or commit of a hub data set; local files have none")
    task: Task = "single_label"
    metrics: tuple[ExtraMetric, ...] = Field(
        (), description="computed beside those of the task: auroc_macro, ece, f1/LABEL, …, or dotted paths of your own"
    )
    text_column: str = "text"
    text_pair_column: str | None = None
    label_column: str | Names = Field(
        "label", description="or a list of names, of which a copy of the data has one; not used with label_columns"
    )
    label_columns: tuple[str, ...] = Field((), description="multi-label: one 0/1 column a label")
    label_separator: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="multi-label: label_column is text, the names of a row's labels with this between them"
    )
    label_names: Names | None = Field(None, description="label order; null sorts the labels of train")
    unlabelled: Literal["refuse", "drop"] = Field("refuse", description="what to do with rows that have no label")
    unknown_labels: Literal["refuse", "drop"] = Field(
        "refuse", description="what to do with rows that have a label which train or label_names does not have"
    )
    blank: Literal["refuse", "drop"] = Field("refuse", description="what to do with rows that have no text")
    duplicates: Literal["keep", "drop"] = Field(
        "keep", description="drop: train loses rows whose text is in validation or test too, and repeated rows"
    )
    train_split: str | Names = Field(
        "train", description="name of a split or of a file; A+B joins two; of a list, the first that the data has"
    )
    validation_split: str | None = Field(None, description="null takes validation_ratio of train")
    test_split: str | None = "test"
    validation_ratio: Share = 0.2
    test_ratio: Share | None = Field(
        None,
        description="with test_split null: the share of the validation rows (with folds: of train) that is the test split",
    )
    stratify: Literal["auto"] | bool = Field(
        "auto", description="cut every label in the same ratio; true refuses where a label is too rare for that"
    )
    group_column: str | None = Field(
        None,
        description="of rows that belong together, such as those of one author: no group is on both sides of a cut",
    )
    time_column: str | None = Field(None, description="of dates, times or epochs: the newest rows are held out")
    folds: Folds = Field(
        None, description="a trial is trained once for each of so many folds of train, and its score is their mean"
    )
    seed: Seed = 0
    max_train_samples: Samples = Field(None, description="a count, or a share below 1")
    max_eval_samples: Samples = None
    max_test_samples: Samples = None
    train_every_nth: Count = 1
    eval_every_nth: Count = 1
    test_every_nth: Count = 1
    max_length: Tokens | None = Field(None, description="tokens; null takes the model's own limit")
    encoding: Encoding = Field(
        "utf-8", description="of CSV, TSV and JSON files; utf-8 follows a byte order mark, of UTF-16 and UTF-32 too"
    )
    delimiter: Delimiter | None = Field(
        None,
        description="of a text file, one character, or tab; null takes the comma for .csv, the tab for .tsv and .txt, "
        "or what the header has in its place",
    )
    quoting: bool = Field(True, description="a text file puts fields in double quotes where need be")

    @property
    def own_metrics(self) -> tuple[str, ...]:
        """Return the dotted paths of the metrics of the user's own."""
        return tuple(name for name in self.metrics if not is_extra(name))
