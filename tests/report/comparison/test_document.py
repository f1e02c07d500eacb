from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from sweep.analysis.comparison.charts import charts
from sweep.analysis.comparison.comparison import compare
from sweep.analysis.comparison.failures import failures
from sweep.analysis.comparison.methods import Entry
from sweep.analysis.comparison.plain import plain
from sweep.analysis.facts import read
from sweep.config.published import PublishedConfig, PublishedTraining, PublishedTrial
from sweep.records.cost import Cost
from sweep.records.final import Candidate, Confirmation, Refit
from sweep.records.store import Store
from sweep.records.trial import Pruned
from sweep.report.comparison.document import document
from sweep.report.comparison.figures import curves, figures
from sweep.report.comparison.summary import rows, summary, summary_lines
from sweep.report.comparison.write import section, write
from sweep.report.pictures import draw
from sweep.report.write import write_report

from ..conftest import completed, evals, part
from .conftest import answers, settings


def rows_of(markdown: str, title: str) -> list[list[str]]:
    """The cells of the first table under a heading."""
    part = markdown.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def entry(store: Store) -> Entry:
    return Entry(store.root)


def rewrite(found: Entry, **changes: object) -> None:
    """Write the run's final record again, with these fields changed."""
    store = Store(found.root)
    final = store.final()
    assert final is not None
    store.write_final(replace(final, **changes))


def test_pairs_are_tested_on_the_same_rows(comparison):
    pair = comparison.pair("good", "fair")
    assert (pair.mcnemar.first_only, pair.mcnemar.second_only, pair.mcnemar.exact) == (8, 1, True)
    assert pair.mcnemar.p == pytest.approx(20 / 512)
    assert pair.p == pytest.approx(20 / 512)  # the largest of three: Holm multiplies it by one
    assert pair.differences[0].value == pytest.approx(7 / 60)
    assert comparison.pair("poor", "good").p < 0.001


def test_the_key_points_name_the_best_its_margin_and_its_price(comparison):
    text = document(comparison, ())
    assert "**good** has the best test/accuracy, 0.9500: +0.1167 over **fair** (0.8333)" in text
    assert "significant (p 0.0391, McNemar, corrected after Holm)" in text
    assert (
        "3 of 3 pairs of methods differ significantly in accuracy: good above fair; good above poor; fair above poor."
        in text
    )
    assert "good trains 9,000 parameters (0.90 %) in 9.00 s: 900 times the trained parameters of poor" in text
    assert "against trained parameters: good, poor; matched or beaten at a lower cost: fair." in text
    assert "The majority class reaches test/accuracy 0.3333; every interval lies above it." in text


def test_the_overview_marks_the_best_and_ends_with_guessing(comparison):
    table = rows_of(document(comparison, ()), "Scores side by side")
    place = table[0].index("test/accuracy")
    assert [line[0] for line in table[2:]] == ["good", "fair", "poor", "majority class"]
    assert [line[place] for line in table[2:]] == ["**0.9500**", "0.8333", "0.5000", "0.3333"]
    assert table[2][table[0].index("test/loss")] == "0.5000"  # all alike: none is best


def test_settings_show_what_differs_and_fold_what_does_not(comparison):
    text = document(comparison, ())
    table = rows_of(text, "How they were made")
    assert ["`adapter.method`", "lora", "lora", "head"] in table
    assert ["`adapter.r`", "8", "8", "–"] in table
    assert ["`model.path`", "org/base", "org/base", "org/base"] in table
    assert "`optimizer.name` adamw" in text.split("The same for all")[1]


def test_a_searched_setting_has_a_star(make):
    slow = settings("slow")
    fast = settings("fast").model_copy(update={"optimizer": slow.optimizer.model_copy(update={"learning_rate": 0.5})})
    found = compare([entry(make("slow", answers([]), config=slow)), entry(make("fast", answers([]), config=fast))])
    table = rows_of(document(found, ()), "How they were made")
    assert ["`optimizer.learning_rate`", r"0.001 \*", r"0.5 \*"] in table


def test_costs_count_the_search_and_say_where_devices_differ(three):
    rewrite(three[0], cost=Cost(seconds=1800, train_seconds=9, device="A fast GPU", samples=90))
    found = compare(three, samples=100)
    table = rows_of(document(found, ()), "What they cost")
    good = dict(zip(table[0], table[2], strict=True))
    assert (good["trials"], good["samples/s"]) == ("2", "10.0")
    assert good["device-hours in all"] == f"{(1800 + 48) / 3600:.3g}"
    assert "Devices differ" in document(found, ())


def test_the_cost_of_a_search_has_that_of_its_paused_trials(three):
    before = {one.name: one.search.seconds for one in compare(three, samples=100).methods}
    waiting = completed(7, [0.5], [1.0], {})
    Store(three[0].root).write_pause(replace(waiting, outcome=Pruned((), Cost(seconds=5.0))))
    after = compare(three, samples=100).methods
    gained = [one.search.seconds - before[one.name] for one in after]
    assert sorted(gained) == [0.0, 0.0, 5.0] and all(len(one.trials) == 2 for one in after)


def test_failures_are_distinguished_surest_first(comparison):
    found = failures(comparison)
    assert [failure.predictions[0].index for failure in found.shared] == ["0", "1"]
    assert [failure.predictions[0].index for failure in found.alone["good"]] == ["40"]
    assert len(found.alone["fair"]) == 0 and len(found.alone["poor"]) == 20
    assert found.right_by == (2, 8, 21, 29)
    text = document(comparison, ())
    assert "Rows that every method gets wrong: 2 rows" in text
    assert "Rows that only poor gets wrong: 20 rows, the 10 surest" in text
    assert r"Text 0: &lt;b&gt;where&lt;/b&gt;? A \| B" in text


def test_models_before_fine_tuning_tuned_thresholds_and_fresh_seeds_have_their_rows(three):
    candidate = Candidate(1, {}, 0.7, (0.68, 0.72), 0.7, (0.65, 0.75))
    rewrite(three[0], before={"test/accuracy": 0.4}, untuned={"test/accuracy": 0.9},
                confirmation=Confirmation((candidate,), 0.0, Cost(seconds=5)))  # fmt: skip
    text = document(compare(three, samples=100), ())
    names = [line[0] for line in rows_of(text, "Scores side by side")]
    assert names[-3:] == ["good, threshold 0.5", "good, before fine-tuning", "majority class"]
    assert "Fine-tuning took good from test/accuracy 0.4000 to 0.9500 (+0.5500)." in text
    assert "| good | 2 | 0.7000 | 0.7000 | 0.6500 to 0.7500 |" in text


def test_published_figures_stand_beside_the_measured_ones(make):
    known = PublishedConfig(
        source="A paper",
        trials=(PublishedTrial(eval={"eval/loss": 0.8}),),
        test={"test/accuracy": 0.9},
        train=PublishedTraining(train_loss=0.5),
    )
    first = make("first", answers([]), config=settings("first").model_copy(update={"published": known}))
    text = document(compare([entry(first), entry(make("second", answers([1])))], samples=100), ())
    table = rows_of(text, "Published beside compared")
    assert ["first", "test/accuracy", "0.9000", "1.0000", "+0.1000"] in table
    assert ["first", "eval/loss", "0.8000", "0.9000", "+0.1000"] in table
    assert "A paper" in text


def test_methods_that_tie_are_ordered_by_loss_then_by_trained_parameters(make):
    trained = {"large": 900, "small": 90, "worse": 9}
    entries = [entry(make(name, answers([1]), trained=number)) for name, number in trained.items()]
    rewrite(entries[2], test={**Store(entries[2].root).final().test, "test/loss": 0.9})
    found = compare(entries, samples=100)
    assert [one.name for one in found.ranked] == ["small", "large", "worse"]
    assert [one.name for one in found.by_validation] == ["worse", "small", "large"]
    text = document(found, ())
    assert "**small**, **large** and **worse** share the best test/accuracy" in text
    assert "Validation would have put worse first" in text


def test_unequal_searches_and_bases_are_said(make):
    small = settings("small").model_copy(update={"model": settings("small").model.model_copy(update={"path": "org/b"})})
    first, second = make("first", answers([]), config=small), make("second", answers([1]))
    (second.trial_dir(0) / "record.json").unlink()
    text = document(compare([entry(first), entry(second)], samples=100), ())
    assert "The methods were not searched equally, which favours those with more trials: small 2, second 1." in text
    assert "The base models differ" in text


def test_multi_label_is_compared_by_whole_rows(multi):
    found = compare(multi, samples=200)
    assert found.metrics == ("f1_macro", "subset_accuracy", "f1_micro")
    assert found.pair("first", "second").mcnemar.first_only == 12
    assert "McNemar's test (1947) of subset_accuracy" in document(found, ())


def test_asked_metrics_are_the_ones_shown_and_the_first_one_ranks(three):
    found = compare(three, metrics=["recall_macro"], samples=100)
    assert (found.main, found.metrics) == ("recall_macro", ("recall_macro",))
    assert "best test/recall_macro" in document(found, ())


def test_the_files_stand_alone_and_repeat_themselves(comparison, tmp_path):
    files = write(comparison, tmp_path / "out")
    first = [path.read_bytes() for path in files]
    assert [path.name for path in files] == ["compare.html", "compare.md", "comparison.json"]
    page = re.sub(rb"(?s)<script>.*?</script>", b"", first[0])
    assert re.findall(rb'(?:src|href)="(?![#])', page) == [] and page.count(b'<span class="figure"') == 3
    assert [path.read_bytes() for path in write(comparison, tmp_path / "out")] == first
    values = json.loads(first[2])
    assert values["ranking"] == ["good", "fair", "poor"]
    assert values["methods"]["good"]["test"]["test/accuracy"] == 0.95
    assert values["pareto"]["trained parameters"] == ["good", "poor"]


def test_plain_values_and_the_tracked_summary_agree(comparison):
    pair = plain(comparison)["pairs"][0]
    assert summary(comparison)["good vs fair/mcnemar_p_holm"] == pair["mcnemar"]["p_holm"]
    assert [row["method"] for row in rows(comparison)] == ["good", "fair", "poor"]
    assert summary_lines(comparison)[1].split()[:3] == ["good", "test/accuracy", "0.9500"]


def test_figures_are_drawn_for_a_run_that_was_never_evaluated_while_it_trained(three, tmp_path):
    rewrite(three[1], retrain_evals=())
    made = figures(charts(compare(three, samples=100)), "x")
    drawn = draw(made, tmp_path, made)
    assert not drawn.fault and list(drawn.pictures) == ["x-scores", "x-curves", "x-pareto"]
    assert "eval/accuracy by epoch" in (tmp_path / "x-curves.svg").read_text()


def test_a_group_run_whose_methods_cannot_be_compared_has_a_report_all_the_same(group):
    (group.root / "methods" / "ia3" / "predictions.csv").unlink()
    text = section(group).text(())
    assert text.startswith("## Methods compared") and "is missing, but the run was tested on 60 rows" in text


def test_a_group_run_has_the_comparison_in_its_report(group, three):
    text = write_report(group).path.read_text()
    assert "## Methods compared" in text and "### Which differences are real" in text
    assert "**lora** has the best test/accuracy, 0.9833" in text
    assert (group.root / "figures" / "methods-pareto.svg").exists()
    assert section(Store(three[0].root)).text(()) == ""


def test_curves_by_step_are_drawn_only_where_epochs_differ_in_steps(three):
    assert [panel.spec["title"] for panel in curves(charts(compare(three, samples=100))).panels] == [
        "eval/accuracy by epoch",
        "eval/loss by epoch",
    ]
    rewrite(three[0], retrain_evals=evals([0.5, 0.6], [1.0, 0.9], steps=30))
    titles = [panel.spec["title"] for panel in curves(charts(compare(three, samples=100))).panels]
    assert titles == ["eval/accuracy by epoch", "eval/accuracy by step", "eval/loss by epoch"]


def test_many_pairs_are_reported_by_those_that_do_not_differ(make):
    stores = [make(f"m{place}", answers(range(place * 13 % 50))) for place in range(4)]
    found = compare([entry(store) for store in [*stores, make("twin", answers(range(13)))]], samples=200)
    assert "9 of 10 pairs of methods differ significantly in accuracy: all but m1 and twin." in document(found, ())


def test_the_report_of_a_group_run_counts_every_method_s_retraining(group):
    facts = read(group)
    assert facts.spent.seconds == sum(one.cost.seconds for one in group.finals().values()) + sum(
        trial.outcome.cost.seconds for trial in group.trials()
    )
    text = part("headline", facts) + part("cost", facts)
    assert "4 training runs took" in text and "| 2 retrainings |" in text


def test_a_refit_of_some_is_a_caveat_and_of_any_is_reported(make):
    first, second = entry(make("first", answers([]))), entry(make("second", answers([1])))
    refit = Refit(rows=600, steps=150, total_steps=225, cost=Cost(seconds=30.0), tracker_run="run-refit")
    rewrite(first, refit=refit)
    comparison = compare([first, second], samples=100)
    text = document(comparison, ())
    name = comparison.methods[0].name
    assert f"Only {name} was trained on validation rows too before the test (study.refit), which favours it." in text
    assert f"`test/…` of {name} is of the model refitted on train and validation rows together" in text
    assert "run-refit" in text.split("## Where", 1)[1]
    table = rows_of(text, "What they cost")
    assert [line[table[0].index("refit")] for line in table[2:]] == ["30.00 s", "–"]
    assert plain(comparison)["methods"][name]["refit"]["rows"] == 600
    assert [row["refit"] for row in rows(comparison)] == [True, False]
    rewrite(second, refit=refit)
    assert "which favours it." not in document(compare([first, second], samples=100), ()).split("## Scores")[0]
