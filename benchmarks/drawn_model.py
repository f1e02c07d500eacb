"""A checkpoint of random weights, so that both sides of a comparison load the same files.

    python -m benchmarks.drawn_model FOLDER OVERRIDES…

writes the model that OVERRIDES… describe (`model.init=random`), as a causal language model in
float16, and its tokenizer.
"""

from __future__ import annotations

import sys

import torch
from transformers import AutoModelForCausalLM

from sweep.config.compose import Composer
from sweep.config.parse import parse
from sweep.model.blueprint import draw, read
from sweep.model.tokenizer import load_tokenizer


def main() -> None:
    folder = sys.argv[1]
    config, faults = parse(Composer().compose(sys.argv[2:]).resolved(), str)
    assert not faults, faults
    architecture = read(config.model)
    tokenizer = load_tokenizer(config.model)
    architecture.pad_token_id = tokenizer.pad_token_id
    model = AutoModelForCausalLM.from_config(architecture, dtype=torch.float16)
    model.load_state_dict(draw(architecture), strict=False)  # what is tied is saved once
    model.tie_weights()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    main()
