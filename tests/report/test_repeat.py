from __future__ import annotations

from dataclasses import replace

from sweep.analysis.facts import read
from sweep.config.schema import ModelConfig, ShrinkConfig

from .conftest import config, final, part, six_trials


def test_the_winner_is_loaded_and_used(make):
    trials = six_trials()
    ending = final(trials[0])
    text = part("repeat", read(make(trials, ending=ending)))
    assert "model = sweep.load('runs/toy')\nfor found in model.predict([\"your text\"]):" in text
    assert "\nsweep predict runs/toy new.csv --out labelled.csv\n" in text
    pairs = ending.config.dataset.model_copy(update={"text_pair_column": "second"})
    paired = ending.config.model_copy(update={"dataset": pairs})
    text = part("repeat", read(make(trials, ending=replace(ending, config=paired))))
    assert 'model.predict(["your text"], ["its pair"])' in text


def test_random_weights_are_said(make):
    model = ModelConfig(path="org/base", init="random", shrink=ShrinkConfig(layers=2))
    settings = config().model_copy(update={"model": model})
    assert "`, shrunk, with random weights |" in part("experiment", read(make(six_trials(), settings=settings)))
