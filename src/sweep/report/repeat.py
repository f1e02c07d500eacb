"""How to do it again, and where everything is."""

from __future__ import annotations

from sweep.data.example import batch
from sweep.report.facts import Facts
from sweep.report.markdown import block, code, details, join, table

_ROUNDING = "A trial of a pack is repeated to rounding: its products were added up in another order beside others."


def repeat(facts: Facts) -> str:
    each = "\n".join(f"# trial {trial.number}\n{trial.command}" for trial in facts.trials)
    run_dir = facts.config.run_dir
    whole = "The whole of it:" if facts.alone else "The study, or what is left of it:"
    parts = ["## How to repeat it", whole, block(facts.lock.command, "sh")]
    if facts.final and not facts.alone:
        also = ", its refit among it" if facts.final.refit else ""
        parts += [f"The winner, trial {facts.final.number}, alone{also}:", block(facts.final.command, "sh")]
    if not facts.alone:
        packed = any(trial.outcome.cost.engine == "packed" for trial in facts.trials)
        parts.append(details("Each trial alone", body=[_ROUNDING if packed else "", block(each, "sh")]))
    if facts.final:
        config = facts.final.config
        asked = batch(paired=config.dataset.text_pair_column is not None, prompted=config.prompt is not None)
        loading = (
            "from sweep.model.artifact import load\n\n"
            f"model, tokenizer = load({run_dir + '/final/model'!r})\n"
            f"scores = model(**{asked}).logits"
        )
        which = "refitted model" if facts.final.refit else "model"
        parts += [f"The winner's {which}, from the folder the study was started in:", block(loading, "python")]
    parts += [
        "This report, again from the records alone:",
        block(f"python -m sweep.report {run_dir}", "sh"),
        _places(facts),
    ]
    return join(parts)


def _places(facts: Facts) -> str:
    places = {"lock.json": "config, seeds, versions, commit and diff, fingerprints of data and model"}
    places |= {"trials/NNNN/record.json": "a trial's values, end, evaluations and cost"}
    places |= {"trials/NNNN/events.jsonl": "its training and evaluation rows"}
    if facts.repeats:
        places |= {"confirm/NNNN-K.json": "a trial trained again with its K-th fresh seed"}
    if facts.final:
        places |= {
            "final/record.json": "every figure of the final section",
            "final/model": "adapter or weights, head and tokenizer",
            "final/predictions.csv": "each test row with its label, prediction and confidence",
            "final/confusion.csv": "the confusion counts",
        }
    if facts.final and facts.final.refit:
        places |= {"final/model": "adapter or weights, head and tokenizer, of the refit"}
        places |= {
            "final/refit/events.jsonl": "the training rows of the refit; final/events.jsonl has the retraining's"
        }
    if len(facts.finals) > 1:
        places |= {"methods/": "the files of final/ for each other method"}
    return table(["in the run directory", "is"], [[code(path), said] for path, said in places.items()])
