"""How to do it again, and where everything is."""

from __future__ import annotations

from sweep.report.facts import Facts
from sweep.report.markdown import block, code, details, join, table


def repeat(facts: Facts) -> str:
    each = "\n".join(f"# trial {trial.number}\n{trial.command}" for trial in facts.trials)
    run_dir = facts.config.run_dir
    whole = "The whole of it:" if facts.alone else "The study, or what is left of it:"
    parts = ["## How to repeat it", whole, block(facts.lock.command, "sh")]
    if facts.final and not facts.alone:
        parts += [f"The winner, trial {facts.final.number}, alone:", block(facts.final.command, "sh")]
    if not facts.alone:
        parts.append(details("Each trial alone", body=[block(each, "sh")]))
    if facts.final:
        loading = (
            "from sweep.model.artifact import load\n\n"
            f"model, tokenizer = load({run_dir + '/final/model'!r})\n"
            'scores = model(**tokenizer(["your text"], return_tensors="pt")).logits'
        )
        parts += ["The winner's model, from the folder the study was started in:", block(loading, "python")]
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
    if facts.final:
        places |= {
            "final/record.json": "every figure of the final section",
            "final/model": "adapter or weights, head and tokenizer",
            "final/predictions.csv": "each test row with its label, prediction and confidence",
            "final/confusion.csv": "the confusion counts",
        }
    return table(["in the run directory", "is"], [[code(path), said] for path, said in places.items()])
