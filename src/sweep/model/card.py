"""The model card."""

from __future__ import annotations

import json
from pathlib import Path

from sweep.config.schema import Config
from sweep.data.example import batch
from sweep.data.labels import LabelSpace
from sweep.data.template import label_words
from sweep.markup import block, escape, join, table
from sweep.markup import code as span
from sweep.model import standard
from sweep.model.base import Quantization, auto_class
from sweep.model.manifest import Manifest
from sweep.records.final import Refit
from sweep.records.trial import Metrics

_POOLED = {
    "mean": "the mean of the last hidden states over a text's tokens",
    "cls": "the last hidden state of a text's first token",
    "last": "the last hidden state of a text's last token",
    "pooler": "what the base's own pooler makes of a text",
}
_SETTINGS = {
    "optimizer": (
        "name", "learning_rate", "weight_decay", "warmup_steps", "lr_scheduler_type", "optim_args", "optim_target_modules",
        "lr_scheduler_kwargs",
    ),
    "trainer": (
        "per_device_train_batch_size", "gradient_accumulation_steps", "num_train_epochs", "max_grad_norm", "seed",
    ),
    "dataset": ("path", "revision", "max_train_samples", "max_length"),
}  # fmt: skip


def card(
    config: Config, manifest: Manifest, metrics: Metrics, refit: Refit | None = None, *, padding: str = "True"
) -> str:
    """`metrics` are named as in the records (`eval/accuracy`, …); with a `refit`, those of validation are of the model
    before it. The code in it runs in the model's own folder; `padding` is as it is written there."""
    labels, asked = manifest.labels, _batch(config, padding)
    parts = [
        _front_matter(config, manifest),
        f"# {escape(config.title or config.study.study_name)}",
        f"A text classifier on {_name(config)}: {_trained(config, manifest)} trained{_whereon(config)}.{_given(manifest)}",
        _refitted(refit),
        _metrics(metrics, refit),
        f"## Labels\n\n{_task(labels)}: " + ", ".join(map(span, labels.names)),
        _thresholds(manifest, tuned=config.trainer.decision_threshold == "tuned", refit=refit),
        _prompt(manifest),
        f"## Loading\n\nThe model exactly as it was evaluated{_cut(manifest)}:\n\n{_code(_with_sweep(manifest, asked))}",
        _elsewhere(manifest),
        _without_sweep(manifest, asked),
        _merging(config, manifest),
        _settings(config),
    ]
    return join(parts) + "\n"


def _batch(config: Config, padding: str) -> str:
    paired = config.dataset.text_pair_column is not None
    return batch(paired=paired, prompted=config.prompt is not None, padding=padding)


def _front_matter(config: Config, manifest: Manifest) -> str:
    """With a pipeline where transformers' own loads the folder, which has to hold every weight, and scores alike. JSON strings
    are YAML too."""
    library = "peft" if manifest.trained == "adapter" else "transformers"
    pooled = manifest.base.pooling is not None
    lines = [f"base_model: {json.dumps(config.model.path)}"] if manifest.base.revision else []
    lines += [f"library_name: {'sweep' if pooled else library}"]
    alike = manifest.trained == "everything" and not pooled and not manifest.prompt
    lines += ["pipeline_tag: text-classification"] if alike else []
    return "\n".join(["---", *lines, "tags: [sweep]", "---"])


def _trained(config: Config, manifest: Manifest) -> str:
    headed = manifest.prompt is None and manifest.trained == "adapter"
    return config.adapter.trained + (" and the classification head" if headed else "")


def _given(manifest: Manifest) -> str:
    kind = manifest.base.pooling
    return "" if kind is None else f" Its head is given {_POOLED[kind]}."


def _name(config: Config) -> str:
    name = config.model.path or str(config.model.config)
    return span(name) if config.model.init == "pretrained" else f"the architecture of {span(name)}, with random weights"


def _whereon(config: Config) -> str:
    data = f" on {span(config.dataset.path)}" if config.dataset.path else ""
    return data + (", over a base in nf4" if config.adapter.quantization == "nf4" else "")


def _task(labels: LabelSpace) -> str:
    return "One of" if labels.task == "single_label" else "Any number of"


def _prompt(manifest: Manifest) -> str:
    """`repr`, so that spaces and line breaks show."""
    if manifest.prompt is None:
        return ""
    labels, per = manifest.labels, "mean over their tokens" if manifest.prompt.scoring == "mean" else "sum"
    words = zip(labels.names, label_words(manifest.prompt, labels), strict=True)
    rows = [(span(name), span(repr(text))) for name, text in words]
    said = (
        f"The label is the one whose words are the likeliest after the prompt, by the {per} of their log-probabilities."
    )
    return join(["## Prompt", said, block(manifest.prompt.template, "text"), table(["label", "words"], rows)])


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
    return table(["metric", "value"], [(name, f"{value:.4f}") for name, value in metrics.items()])


def _thresholds(manifest: Manifest, *, tuned: bool, refit: Refit | None) -> str:
    if manifest.thresholds is None:
        return ""
    names = map(escape, manifest.labels.names)
    rows = [(name, f"{value:.4f}") for name, value in zip(names, manifest.thresholds, strict=True)]
    whose = " for the model trained on the train rows alone" if refit else ""
    chosen = f", chosen on the validation rows{whose}" if tuned else ""
    said = f"A label applies from this probability on{chosen}."
    return join(["## Thresholds", said, table(["label", "probability"], rows)])


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


def _elsewhere(manifest: Manifest) -> str:
    """What must be known on another machine, or with other libraries."""
    said = []
    if (
        Path(manifest.base.path).is_absolute()
        and manifest.base.init == "pretrained"
        and manifest.trained != "everything"
    ):
        said.append(
            "The base is a folder of the machine that it was trained on. Elsewhere, name your copy of it: "
            '`load(".", base="FOLDER")`.'
        )
    if manifest.base.pooling is not None:
        said.append(_ONLY_POOLED)
    return join(said)


def _without_sweep(manifest: Manifest, asked: str) -> str:
    scored = "" if manifest.prompt else f"\nlogits = model(**{asked}).logits"
    if manifest.trained == "everything":
        return f"With transformers alone:\n\n{_code(_full(manifest) + scored)}"
    if manifest.base.init == "random":
        return "Its base was never pretrained: sweep draws it again from a fixed seed, and nothing else can load it."
    if manifest.base.gguf_file:
        return f"Its base is {span(manifest.base.gguf_file)}, which sweep converts to safetensors on loading."
    imports, ending = _ending(manifest)
    code = f"""{imports}
from transformers import AutoConfig, {_auto_class(manifest)}, AutoTokenizer{_more_imports(manifest)}

base = {_auto_class(manifest)}.from_pretrained(
    {_location(manifest.base.path)},
    config={_config(manifest)},
    {_options(manifest)}
    ignore_mismatched_sizes=True,  # the base's own head, which that of this model replaces
)
{_KEEP_PACKING if manifest.quantization else ""}{_pooling(manifest, "base")}{ending}
{_tokenizer(manifest)}{scored}"""
    note = "" if manifest.base.dtype == "float32" else f"\n\n{_INEXACT}"
    return f"Without sweep:\n\n{_code(code)}{note}"


def _merging(config: Config, manifest: Manifest) -> str:
    """Whether PEFT can make one model of base and adapter. With a pooling, no class would load that."""
    if manifest.trained != "adapter" or manifest.base.pooling is not None:
        return ""
    if reason := config.adapter.unmergeable():
        return f"The adapter stays beside its base: {reason}."
    return "`model.merge_and_unload()` makes one model of base and adapter, with the scores of both to rounding."


def _full(manifest: Manifest) -> str:
    auto, kind = _auto_class(manifest), manifest.base.pooling
    pooled = f', config={_config(manifest)}, variant="{standard.variant(kind)}"' if kind else ""
    imports = f"from transformers import {'AutoConfig, ' if kind else ''}{auto}, AutoTokenizer"
    return f"""{imports}

model = {auto}.from_pretrained("."{pooled}).eval()
{_pooling(manifest, "model")}{_tokenizer(manifest)}"""


def _ending(manifest: Manifest) -> tuple[str, str]:
    """Imports, and what makes the model of the base."""
    if manifest.trained == "head":
        return _HEAD
    if manifest.base.pooling is None:
        return _PEFT
    return _POOLED_PEFT


def _config(manifest: Manifest) -> str:
    return f'AutoConfig.from_pretrained("{standard.ARCHITECTURE if manifest.base.pooling else "."}")'


def _tokenizer(manifest: Manifest) -> str:
    config = f", config={_config(manifest)}" if manifest.base.pooling else ""
    return f'tokenizer = AutoTokenizer.from_pretrained("."{config})'


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
    return "" if kind is None else _POOL.format(vector=_VECTORS[kind], name=name, suffix=standard.marked_type("", kind))


def _settings(config: Config) -> str:
    tree = config.model_dump(mode="json")
    rows = [
        (span(f"{section}.{key}"), span(json.dumps(tree[section][key], ensure_ascii=False)))
        for section, keys in (*_SETTINGS.items(), ("adapter", config.adapter.report_keys()))
        for key in keys
        if tree[section][key] is not None
        and not (key == "head_init" and config.prompt)
        and not (key == "compute_dtype" and config.adapter.quantization == "none")
    ]
    return join(["## Training", table(["setting", "value"], rows)])


def _code(text: str) -> str:
    return block(text, "python")


_PEFT = ("from peft import PeftModel", 'model = PeftModel.from_pretrained(base, ".").eval()')
_POOLED_PEFT = (
    "import json\n\nfrom peft import PeftModel, get_peft_config",
    """with open("adapter_config.json") as file:
    settings = json.load(file)
adapter = get_peft_config(settings | {"peft_type": settings["peft_type"].partition(" with ")[0]})
model = PeftModel.from_pretrained(base, ".", config=adapter).eval()""",
)
_HEAD = (
    "from safetensors.torch import load_file",
    'base.load_state_dict(load_file("head.safetensors"), strict=False)\nmodel = base.eval()',
)
_KEEP_PACKING = """for module in base.modules():
    module.support_avx512bf16_for_cpu = False  # else bitsandbytes repacks 4-bit weights on some CPUs, and rounds
"""
_POOL = """

def pool(trunk, args, kwargs, output):
    hidden = output["last_hidden_state"]
    mask = kwargs.get("attention_mask", hidden.new_ones(hidden.shape[:2]).long())
    vector = {vector}
    output["last_hidden_state"] = vector[:, None].expand_as(hidden)
    output["pooler_output"] = vector
    return output


{name}.base_model.register_forward_hook(pool, with_kwargs=True)
kind = type({name}.config)  # a copy that is saved, merged or not, has no hook: mark it, so that transformers refuses it
marks = {{"model_type": kind.model_type + "{suffix}", "__module__": kind.__module__}}
{name}.config.__class__ = type(kind.__name__, (kind,), marks)
"""
_VECTORS = {
    "mean": "((hidden.float() * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)).to(hidden.dtype)",
    "cls": "hidden[range(len(hidden)), mask.argmax(1)]",
    "last": "hidden[range(len(hidden)), mask.cumsum(1).argmax(1)]",
    "pooler": 'output["pooler_output"]',
}
_ONLY_POOLED = (
    "Load it as shown here, and by no other way. No class of transformers or PEFT gives a head that vector: "
    "`AutoPeftModelForSequenceClassification`, `PeftModel.from_pretrained`, `AutoModelForSequenceClassification` and "
    "`pipeline` refuse this folder, and what is saved of the loaded model, with `merge_and_unload()` or without."
)
_INEXACT = "Logits may then differ in their last digits: sweep holds the head in float32."
