"""The keys of each adapter method, and the faults of keys that it lacks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from sweep.config import adapter as adapters
from sweep.config.parse import parse
from sweep.config.schema import Config
from sweep.plan.checks import check

CONF = Path(__file__).parents[2] / "conf" / "adapter"
OLD_KEYS = {
    "quantization": "none", "double_quantization": True, "compute_dtype": "bfloat16", "r": None, "lora_alpha": None,
    "lora_dropout": None, "use_rslora": False, "target_modules": None, "feedforward_modules": None, "head_init": "random",
}  # fmt: skip


def faults_of(adapter: Any, **sections: Any) -> dict[str, str]:
    config, faults = parse({"adapter": adapter, **sections}, lambda _: "")
    broken = [fault for fault in check(config) if fault.path.startswith("adapter.")]
    return {fault.path: fault.message for fault in [*faults, *broken]}


@pytest.mark.parametrize(
    ("adapter", "path", "message"),
    [
        (
            {"method": "ia3", "r": 8},
            "adapter.r",
            "is 8, but adapter.method is ia3: only lora and dora have it; type adapter.r=null, or adapter=lora",
        ),
        (
            {"method": "head", "target_modules": ["query"]},
            "adapter.target_modules",
            'is ["query"], but adapter.method is head: only lora, dora, ia3 and peft have it; type '
            "adapter.target_modules=null, or adapter=lora",
        ),
        (
            {"feedforward_modules": ["x"]},
            "adapter.feedforward_modules",
            'is ["x"], but adapter.method is lora: only ia3 has it; type adapter.feedforward_modules=null, or adapter=ia3',
        ),
        (
            {"init": "gausian"},
            "adapter.init",
            "is gausian, but must be one of: default, gaussian, orthogonal, eva (did you mean gaussian?)",
        ),
        (
            {"init": "orthogonal", "r": 7},
            "adapter.r",
            "is 7, but adapter.init is orthogonal, which needs an even rank; use 8",
        ),
        ({"method": 3}, "adapter.method", "is 3, but must be a valid string"),
        (
            {"method": "full", "quantization": "nf4"},
            "adapter.quantization",
            "a quantised base cannot be trained in full",
        ),
        ({"method": "peft"}, "adapter.peft_type", "must be given"),
        (
            {"method": "peft", "peft_type": "adalora"},
            "adapter.peft_type",
            "is ADALORA, which moves ranks between layers",
        ),
        (
            {"method": "peft", "peft_type": "vera", "options": {"target_modules": ["query"]}},
            "adapter.options.target_modules",
            "is set, but follows from adapter.target_modules; leave it out",
        ),
        ({"lr_ratio": 0}, "adapter.lr_ratio", "is 0, but must be greater than 0"),
        ({"init": "eva", "rank_pattern": {"query": 4}}, "adapter.rank_pattern", "type adapter.rank_pattern=null"),
        ({"layers_to_transform": []}, "adapter.layers_to_transform", "at least 1 item"),
    ],
    ids=str,
)
def test_a_fault_names_key_value_method_and_what_to_type(adapter: dict[str, Any], path: str, message: str) -> None:
    found = faults_of(adapter)
    assert list(found) == [path] and message in found[path]


@pytest.mark.parametrize("init", ["pissa", "pissa_niter_16", "olora", "corda", "loftq"])
def test_first_weights_that_rewrite_the_base_are_refused_with_the_reason(init: str) -> None:
    (message,) = faults_of({"init": init}).values()
    assert message.startswith(
        f"is {init}, which starts from changed weights of the base, and all trials share one base"
    )
    assert "use eva" in message


@pytest.mark.parametrize("name", ["galore_adamw", "lomo", "apollo_adamw_layerwise"])
def test_optimizers_with_one_group_refuse_a_ratio(name: str) -> None:
    assert (
        "takes all weights in one group" in faults_of({"lr_ratio": 4.0}, optimizer={"name": name})["adapter.lr_ratio"]
    )


def test_configs_of_older_records_are_read_as_they_were_meant() -> None:
    for method, own in (("lora", {"r": 4, "lora_alpha": 2.0}), ("ia3", {}), ("head", {}), ("full", {})):
        found = adapters.parsed({"method": method, **OLD_KEYS, **own})
        assert found == adapters.parsed({"method": method, **own})
    assert (adapters.parsed({"method": "lora", **OLD_KEYS}).model_dump()["r"]) == 8


@pytest.mark.parametrize("name", list(adapters.shipped()))
def test_a_config_comes_back_from_its_record(name: str) -> None:
    config = Config(adapter=adapters.parsed({"method": name}))
    assert Config.model_validate_json(json.dumps(config.model_dump(mode="json"))) == config


@pytest.mark.parametrize("file", sorted(CONF.glob("*.yaml")), ids=lambda file: file.stem)
def test_files_repeat_the_defaults_of_the_schema(file: Path) -> None:
    """qlora.yaml alone has values of its own, those of the base in 4 bits."""
    tree: Any = OmegaConf.to_container(OmegaConf.load(file))
    changed = {"quantization": "nf4"} if file.stem == "qlora" else {}
    assert adapters.parsed(tree) == adapters.parsed({"method": tree["method"], **changed})


def test_reports_show_every_key_of_a_method() -> None:
    for kind in adapters.shipped().values():
        shown = kind.model_validate({}).report_keys()
        assert set(shown) == {*kind.model_fields} - {"double_quantization"} and len(shown) == len(set(shown))
