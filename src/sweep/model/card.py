"""The model card."""

from __future__ import annotations

import json

from sweep.config.schema import Config
from sweep.data.example import batch
from sweep.data.labels import LabelSpace
from sweep.data.template import label_words
from sweep.model.base import Quantization, auto_class
from sweep.model.manifest import Manifest
from sweep.records import Metrics, Refit

_TRAINED = {
    "lora": "LoRA matrices",
    "ia3": "IA3 vectors",
    "head": "the classification head alone",
    "full": "every weight",
}
_POOLED = {
    "mean": "the mean of the last hidden states over a text's tokens",
    "cls": "the last hidden state of a text's first token",
    "last": "the last hidden state of a text's last token",
    "pooler": "what the base's own pooler makes of a text",
}
_SETTINGS = {
    "optimizer": ("name", "learning_rate", "weight_decay", "warmup_steps", "lr_scheduler_type"),
    "trainer": (
        "per_device_train_batch_size", "gradient_accumulation_steps", "num_train_epochs", "max_grad_norm", "seed",
    ),
    "dataset": ("path", "revision", "max_train_samples", "max_length"),
    "adapter": (
        "method", "quantization", "r", "lora_alpha", "lora_dropout", "use_rslora", "target_modules", "head_init",
    ),
}  # fmt: skip


def card(
    config: Config, manifest: Manifest, metrics: Metrics, refit: Refit | None = None, *, padding: str = "True"
) -> str:
    """`metrics` are named as in the records (`eval/accuracy`, …); with a `refit`, those of validation are of the model
    before it. The code in it runs in the model's own folder; `padding` is as it is written there."""
    labels, asked = manifest.labels, batch(config, padding=padding)
    parts = [
        _front_matter(config, manifest),
        f"# {config.title or config.study.study_name}",
        f"A text classifier on {_name(config)}: {_trained(manifest)} trained{_whereon(config)}.{_given(manifest)}",
        _refitted(refit),
        _metrics(metrics, refit),
        f"## Labels\n\n{_task(labels)}: " + ", ".join(f"`{name}`" for name in labels.names),
        _thresholds(manifest, tuned=config.trainer.decision_threshold == "tuned", refit=refit),
        _prompt(manifest),
        f"## Loading\n\nThe model exactly as it was evaluated{_cut(manifest)}:\n\n{_code(_with_sweep(manifest, asked))}",
        _without_sweep(manifest, asked),
        _settings(config),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front_matter(config: Config, manifest: Manifest) -> str:
    library = "peft" if manifest.method in ("lora", "ia3") else "transformers"
    base = [f"base_model: {config.model.path}"] if manifest.base.revision else []
    return "\n".join(
        ["---", *base, f"library_name: {library}", "pipeline_tag: text-classification", "tags: [sweep]", "---"]
    )


def _trained(manifest: Manifest) -> str:
    headed = manifest.prompt is None and manifest.method in ("lora", "ia3")
    return _TRAINED[manifest.method] + (" and the classification head" if headed else "")


def _given(manifest: Manifest) -> str:
    kind = manifest.base.pooling
    return "" if kind is None else f" Its head is given {_POOLED[kind]}."


def _name(config: Config) -> str:
    name = config.model.path or str(config.model.config)
    return f"`{name}`" if config.model.init == "pretrained" else f"the architecture of `{name}`, with random weights"


def _whereon(config: Config) -> str:
    data = f" on `{config.dataset.path}`" if config.dataset.path else ""
    return data + (", over a base in nf4" if config.adapter.quantization == "nf4" else "")


def _task(labels: LabelSpace) -> str:
    return "One of" if labels.task == "single_label" else "Any number of"


def _prompt(manifest: Manifest) -> str:
    """`repr`, so that spaces and line breaks show."""
    if manifest.prompt is None:
        return ""
    labels, per = manifest.labels, "mean over their tokens" if manifest.prompt.scoring == "mean" else "sum"
    words = zip(labels.names, label_words(manifest.prompt, labels), strict=True)
    rows = [f"| `{name}` | `{text!r}` |" for name, text in words]
    said = (
        f"The label is the one whose words are the likeliest after the prompt, by the {per} of their log-probabilities."
    )
    table = "\n".join(["| label | words |", "| --- | --- |", *rows])
    return f"## Prompt\n\n{said}\n\n```text\n{manifest.prompt.template}\n```\n\n{table}"


def _refitted(refit: Refit | None) -> str:
    if refit is None:
        return ""
    return (
        f"It was refitted on train and validation rows together ({refit.rows:,}), for {refit.steps:,} of the "
        f"{refit.total_steps:,} steps of its schedule."
    )


def _metrics(metrics: Metrics, refit: Refit | None) -> str:
    if not metrics:
        return ""
    if refit is None:
        return f"## Results\n\n{_table(metrics)}"
    held_out = {name: value for name, value in metrics.items() if name.startswith("eval/")}
    own = {name: value for name, value in metrics.items() if name not in held_out}
    said = (
        "No validation score of this model exists, since it was trained on those rows. The same configuration, trained on "
        "the train rows alone, has these:"
    )
    return f"## Results\n\n{_table(own)}\n\n{said}\n\n{_table(held_out)}"


def _table(metrics: Metrics) -> str:
    rows = [f"| {name} | {value:.4f} |" for name, value in metrics.items()]
    return "\n".join(["| metric | value |", "| --- | ---: |", *rows])


def _thresholds(manifest: Manifest, *, tuned: bool, refit: Refit | None) -> str:
    if manifest.thresholds is None:
        return ""
    rows = [f"| {name} | {value:.4f} |" for name, value in zip(manifest.labels.names, manifest.thresholds, strict=True)]
    whose = " for the model trained on the train rows alone" if refit else ""
    chosen = f", chosen on the validation rows{whose}" if tuned else ""
    said = f"A label applies from this probability on{chosen}."
    return "\n".join(["## Thresholds", "", said, "", "| label | probability |", "| --- | ---: |", *rows])


def _cut(manifest: Manifest) -> str:
    """A prompt is cut by code that knows its template."""
    return "" if manifest.prompt else f", on texts cut at {manifest.max_length} tokens as `truncation=True` does it"


def _with_sweep(manifest: Manifest, asked: str) -> str:
    scores = "logits.softmax(-1)" if manifest.labels.task == "single_label" else "logits.sigmoid()"
    several = manifest.thresholds is not None
    decided = '\nlabels = scores >= scores.new_tensor(thresholds("."))' if several else ""
    return f"""from sweep.model.artifact import load{", thresholds" if several else ""}

model, tokenizer = load(".")
logits = model(**{asked}).logits
scores = {scores}{decided}"""


def _without_sweep(manifest: Manifest, asked: str) -> str:
    scored = "" if manifest.prompt else f"\nlogits = model(**{asked}).logits"
    if manifest.method == "full":
        code = _FULL.format(_auto_class(manifest), pooling=_pooling(manifest, "model"))
        return f"With transformers alone:\n\n{_code(code + scored)}"
    if manifest.base.init == "random":
        return "Its base was never pretrained: sweep draws it again from a fixed seed, and nothing else can load it."
    if manifest.base.gguf_file:
        return f"Its base is `{manifest.base.gguf_file}`, which sweep converts to safetensors on loading."
    imports, ending = _HEAD if manifest.method == "head" else _PEFT
    code = f"""{imports}
from transformers import AutoConfig, {_auto_class(manifest)}, AutoTokenizer{_more_imports(manifest)}

base = {_auto_class(manifest)}.from_pretrained(
    {_location(manifest.base.path)},
    config=AutoConfig.from_pretrained("."),
    {_options(manifest)}
)
{_KEEP_PACKING if manifest.quantization else ""}{_pooling(manifest, "base")}{ending}
tokenizer = AutoTokenizer.from_pretrained("."){scored}"""
    note = "" if manifest.base.dtype == "float32" else f"\n\n{_INEXACT}"
    return f"Without sweep:\n\n{_code(code)}{note}"


def _auto_class(manifest: Manifest) -> str:
    return auto_class(causal=manifest.prompt is not None).__name__


def _more_imports(manifest: Manifest) -> str:
    bits = ", BitsAndBytesConfig" if manifest.quantization else ""
    return bits + ("\nfrom importlib.resources import files" if manifest.base.path.startswith("pkg://") else "")


def _location(path: str) -> str:
    if not path.startswith("pkg://"):
        return json.dumps(path)
    package, _, folder = path.removeprefix("pkg://").partition("/")
    return f"str(files({json.dumps(package)}) / {json.dumps(folder)})"


def _options(manifest: Manifest) -> str:
    base, options = manifest.base, [f'dtype="{manifest.base.dtype}"']
    options += [f"revision={json.dumps(base.revision)}"] if base.revision else []
    options += ["trust_remote_code=True"] if base.trust_remote_code else []
    options += [f"quantization_config={_bits(manifest.quantization, manifest.head)}"] if manifest.quantization else []
    return "".join(f"{option},\n    " for option in options).rstrip()


def _bits(quantization: Quantization, head: tuple[str, ...]) -> str:
    return f"""BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant={quantization.double},
        bnb_4bit_compute_dtype="{quantization.compute_dtype}",
        llm_int8_skip_modules={list(head)},
    )"""


def _pooling(manifest: Manifest, name: str) -> str:
    kind = manifest.base.pooling
    return "" if kind is None else _POOL.format(vector=_VECTORS[kind], name=name)


def _settings(config: Config) -> str:
    tree = config.model_dump(mode="json")
    rows = [
        f"| `{section}.{key}` | `{json.dumps(tree[section][key])}` |"
        for section, keys in _SETTINGS.items()
        for key in keys
        if tree[section][key] is not None and not (key == "head_init" and config.prompt)
    ]
    return "\n".join(["## Training", "", "| setting | value |", "| --- | --- |", *rows])


def _code(text: str) -> str:
    return f"```python\n{text}\n```"


_FULL = """from transformers import {0}, AutoTokenizer

model = {0}.from_pretrained(".").eval()
{pooling}tokenizer = AutoTokenizer.from_pretrained(".")"""
_PEFT = ("from peft import PeftModel", 'model = PeftModel.from_pretrained(base, ".").eval()')
_HEAD = (
    "from safetensors.torch import load_file",
    'base.load_state_dict(load_file("head.safetensors"), strict=False)\nmodel = base.eval()',
)
_KEEP_PACKING = """for module in base.modules():
    module.support_avx512bf16_for_cpu = False  # else bitsandbytes repacks 4-bit weights on some CPUs, and rounds
"""
_POOL = """

def pool(trunk, args, kwargs, output):
    hidden, mask = output["last_hidden_state"], kwargs["attention_mask"]
    vector = {vector}
    output["last_hidden_state"] = vector[:, None].expand_as(hidden)
    output["pooler_output"] = vector
    return output


{name}.base_model.register_forward_hook(pool, with_kwargs=True)
"""
_VECTORS = {
    "mean": "((hidden.float() * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)).to(hidden.dtype)",
    "cls": "hidden[range(len(hidden)), mask.argmax(1)]",
    "last": "hidden[range(len(hidden)), mask.cumsum(1).argmax(1)]",
    "pooler": 'output["pooler_output"]',
}
_INEXACT = "Logits may then differ in their last digits: sweep holds the head in float32."
