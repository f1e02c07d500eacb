from __future__ import annotations

import torch

from sweep.data.collate import collator
from sweep.data.labels import LabelSpace
from sweep.data.splits import Rows
from sweep.data.tokenise import tokenise

TEXTS = ("short", "a little longer than that")


def batch(tokenizer, tmp_path, labels, values):
    rows = tokenise(Rows(TEXTS, None, values), tokenizer, labels=labels, max_length=None, cache=tmp_path)
    return collator(tokenizer, labels)([rows[0], rows[1]])


def test_a_batch_is_as_wide_as_its_longest_row(tokenizer, tmp_path):
    made = batch(tokenizer, tmp_path, LabelSpace("single_label", ("a", "b")), (1, 0))
    assert set(made) == {"input_ids", "token_type_ids", "attention_mask", "labels"}
    assert made["input_ids"].shape == (2, 7) and made["attention_mask"].sum(dim=1).tolist() == [3, 7]
    assert made["input_ids"][0, 3:].tolist() == [tokenizer.pad_token_id] * 4
    assert made["labels"].dtype == torch.long and made["labels"].tolist() == [1, 0]


def test_several_labels_are_floats(tokenizer, tmp_path):
    made = batch(tokenizer, tmp_path, LabelSpace("multi_label", ("a", "b", "c")), ((1, 0, 1), (0, 0, 0)))
    assert made["labels"].dtype == torch.float32 and made["labels"].tolist() == [[1, 0, 1], [0, 0, 0]]


def test_answers_are_the_labels_again(tokenizer, tmp_path):
    labels = LabelSpace("single_label", ("a", "b"))
    rows = tokenise(Rows(TEXTS, None, (1, 0)), tokenizer, labels=labels, max_length=None, cache=tmp_path)
    made = collator(tokenizer, labels, answers=True)([rows[0], rows[1]])
    assert made["answers"].tolist() == made["labels"].tolist() == [1, 0]
