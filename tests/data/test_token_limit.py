from __future__ import annotations

import copy

import pytest

from sweep.data.token_limit import check_length, token_limit
from sweep.errors import UserError


@pytest.mark.parametrize(("paired", "least"), [(False, 3), (True, 5)])
def test_a_length_that_leaves_no_text_is_refused(tokenizer, paired, least):
    """Tokenizers cut nothing at all where special tokens are more than the length."""
    assert len(tokenizer("one two", truncation=True, max_length=1)["input_ids"]) > 1
    check_length(least, tokenizer, paired=paired)
    check_length(None, tokenizer, paired=paired)
    with pytest.raises(UserError, match=f"dataset.max_length: is {least - 1}, but must be at least {least}"):
        check_length(least - 1, tokenizer, paired=paired)


@pytest.mark.parametrize(
    ("of_model", "asked", "limit"),
    [(512, None, 512), (512, 50, 50), (512, 4000, 512), (10**30, None, 512), (10**30, 4000, 4000)],
)
def test_the_limit_is_never_above_the_models(tokenizer, of_model, asked, limit):
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.model_max_length = of_model
    assert token_limit(tokenizer, asked) == limit
