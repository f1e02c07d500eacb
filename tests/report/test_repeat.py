from __future__ import annotations

from dataclasses import replace

from sweep.analysis.facts import read
from sweep.config.schema import ModelConfig, PromptConfig, ShrinkConfig

from .conftest import config, final, part, six_trials


def test_a_model_that_answers_in_words_is_asked_with_its_prompt(make):
    trials = six_trials()
    ending = final(trials[0])
    plain = 'model(**tokenizer(["your text"], padding=True, truncation=True, return_tensors="pt"))'
    assert plain in part("repeat", read(make(trials, ending=ending)))
    prompted = ending.config.model_copy(update={"prompt": PromptConfig(template="{text}")})
    text = part("repeat", read(make(trials, ending=replace(ending, config=prompted))))
    assert 'model(**model.prompt.batch(tokenizer, ["your text"]))' in text


def test_random_weights_are_said(make):
    model = ModelConfig(path="org/base", init="random", shrink=ShrinkConfig(layers=2))
    settings = config().model_copy(update={"model": model})
    assert "`, shrunk, with random weights |" in part("experiment", read(make(six_trials(), settings=settings)))
