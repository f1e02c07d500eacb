"""Adapter methods with options that suit a BERT of two layers of width 32."""

from __future__ import annotations

from typing import Any

SMALL: dict[str, dict[str, Any]] = {
    "C3A": {"block_size": 8},
    "LN_TUNING": {},
    "MISS": {"r": 8},
    "ROAD": {"group_size": 16},
    "TRAINABLE_TOKENS": {"token_indices": [1, 2, 3]},
    "VBLORA": {"vector_length": 8, "num_vectors": 32},
    "WAVEFT": {"n_frequency": 32},
}
TYPES = (
    "BEFT", "BOFT", "C3A", "DEFT", "DELORA", "FOURIERFT", "GLORA", "GRALORA", "HIRA", "HRA", "LILY", "LN_TUNING", "LOHA", "LOKR",
    "MISS", "OFT", "OSF", "PEANUT", "PSOFT", "PVERA", "RANDLORA", "ROAD", "SUPERTUNING", "TINYLORA",
    "TRAINABLE_TOKENS", "UNILORA", "VBLORA", "VERA", "WAVEFT",
)  # fmt: skip
METHODS: dict[str, dict[str, Any]] = {
    "gaussian": {"method": "lora", "init": "gaussian"},
    "orthogonal": {"method": "lora", "init": "orthogonal"},
    "patterns": {
        "method": "lora",
        "rank_pattern": {"layer.0.attention.self.query": 2},
        "alpha_pattern": {"value": 4.0},
    },
    "some layers": {"method": "lora", "layers_to_transform": [1], "target_modules": "all-linear"},
    "without": {"method": "lora", "target_modules": ["query", "dense"], "exclude_modules": ["output.dense"]},
    "dora": {"method": "dora"},
    "dora, orthogonal": {"method": "dora", "init": "orthogonal", "r": 4},
    **{name: {"method": "peft", "peft_type": name, "options": SMALL.get(name)} for name in TYPES},
}
