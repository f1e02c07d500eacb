from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from support.reports import summary_lines
from sweep.analysis.facts import read
from sweep.analysis.study import analyse
from sweep.analysis.summary import study_summary
from sweep.config.schema import TrackerConfig
from sweep.errors import UserError
from sweep.model.adapters.lora import LoraConfig
from sweep.records.cost import Cost
from sweep.records.events import append_row
from sweep.records.store import Store
from sweep.records.trial import Completed, EvalPoint, Failed, FailureReason, Pruned, Step, TrialRecord
from sweep.report.write import write_report

from .conftest import (
    BATCH,
    LR,
    completed,
    config,
    cost,
    evals,
    final,
    log_events,
    rows,
    section,
    six_trials,
    trial,
    words,
)


@pytest.fixture(scope="module")
def text(reported: Store) -> str:
    return (reported.root / "report.md").read_text()


def test_headline_names_the_winner_its_scores_and_what_is_missing(text):
    head = text.partition("\n## ")[0]
    assert "**Trial 1 won** with eval/accuracy 0.8833 at epoch 2" in head
    assert "test/accuracy 0.8400 (95 % interval 0.7558 to 0.8990, 100 rows)" in head
    assert ["split", "model", "accuracy", "loss", "f1_weighted", "f1_macro"] in rows(head)
    assert ["validation", "after training", "0.8833", "0.5200", "0.8733", "0.8633"] in rows(head)
    assert ["test", "majority class", "0.1100", "–", "0.0218", "0.0165"] in rows(head)
    assert (
        "**Better than guessing** in accuracy: 0.8400 (0.7558 to 0.8990) against 0.1100 (0.0625 to 0.1863) of the majority class"
        in head
    )
    assert "No gain after evaluation 2 of 3" in head
    assert "7 training runs took 92.00 s, 0.0256 device-hours on A CPU." in head
    assert "2 completed, 1 pruned, 2 failed (1 diverged, 1 out of memory); 1 stopped on the way" in head
    assert "**Missing so far**: 1 trial of 6." in head  # the interrupted one


def test_trials_are_listed_with_their_values_ends_and_scores(text):
    listed = rows(section(text, "The trials").split("### ")[0])[2:]
    assert listed == [
        ["0", "0.6125", "3", "completed", "24.0", "0.0001", "8"],
        ["1 (winner)", "0.8833", "2", "completed", "24.0", "0.0015", "16"],
        ["2", "0.0900", "1", "pruned", "6.0", "1.2e-05", "16"],
        ["3", "0.3000", "1", "diverged", "7.0", "0.009", "8"],
        ["4", "–", "–", "out of memory", "1.0", "0.002", "16"],
        ["5", "0.5000", "1", "interrupted", "5.0", "0.0008", "8"],
    ]


def test_epochs_carry_the_mean_of_the_training_losses_before_them(reported, text):
    losses = [row.metrics["train/loss"] for row in reported.events(0) if isinstance(row, Step) and 60 < row.step <= 120]
    assert ["2", "120", f"{sum(losses) / len(losses):.4f}", "1.7000", "0.5200", "0.5100", "0.5000"] in rows(text)


def test_the_experiment_is_described(text):
    run = section(text, "What was run")
    for said in (
        "`org/small-model` at revision `r1`",
        "1.00 % of the weights were trained: 227,000 of 22,700,000.",
        "| base | 10,573,000 | 0 | 0.0 % | 39.57 MiB |",
        "| **in all** | **22,700,000** | **227,000** | **1.00 %** | **85.83 MiB** |",
        "A CPU (`auto` asked for)",
        "`abc1234`, with uncommitted changes (2 lines of diff",
        "study 1, trainer 2, dataset 3",
        "| validation | 120 |",
        "1e-05 to 0.01 | logarithmic",
        "one of 8, 16",
        "| torch | 2.13.0 |",
    ):
        assert said in run


def test_confusion_and_labels_are_counted_from_the_record(text):
    test = section(text, "On the test split")
    assert "16 of 100 rows are wrong, in 4 pairs of labels" in test
    assert [r"card\_lost", r"card\_arrival", "4", "36.4 %", "0"] in rows(test)
    assert [r"card\_arrival", "0.7778", "0.6364", "1.0000", "7"] in rows(test)
    surest = rows(test.partition("### The surest mistakes")[2])[2]
    assert surest[2:] == [r"refund\_status", "login", "0.900"]


def test_cost_adds_up(text):
    spent = rows(section(text, "What it cost"))
    assert ["6 trials", "67.0", "50.2", "8.4", "88.20", "11.02", "132.30", "0.0186"] in spent
    assert ["in all", "92.0", "69.0", "11.5", "85.10", "10.64", "127.65", "0.0256"] in spent
    assert ["retraining", "180", "1,440", "3.6e+11", "3.00 GiB", "0.8700"] in spent
    assert [row[0] for row in spent if row[0].startswith("trial 3")] == ["trial 3, diverged"] * 2
    assert not any("device memory" in row or "device" in row for row in spent)
    assert "It held one device (A CPU) for 92.00 s: 75.0 % of that training, 12.5 % evaluating" in text
    assert "it saved 120 steps, 66.7 % of theirs" in text


def test_commands_to_repeat(reported, text):
    for record in reported.trials():
        assert record.command in text
    assert "sweep.load('runs/toy')" in text
    assert "python -m sweep.report runs/toy" in text


def test_trial_and_retraining_side_by_side(make):
    trials = six_trials()
    ending = final(trials[1])
    shifted = tuple(
        replace(p, metrics={n: v + 0.001 * p.index for n, v in p.metrics.items()}) for p in ending.retrain_evals
    )
    text = words(make(trials, ending=replace(ending, retrain_evals=shifted)))
    assert ["2", "120", "0.5200", "0.5220", "+0.0020", "0.8833", "0.8853", "+0.0020"] in rows(text)
    assert "Largest difference between trial and retraining: 0.003" in text


def test_written_again_elsewhere_it_is_the_same_to_the_byte(store, reported):
    def everything(root: Path) -> dict[str, bytes]:
        return {p.name: p.read_bytes() for p in [*root.glob("report.*"), *root.glob("figures/*")]}

    write_report(store)
    assert len(everything(store.root)) == 7  # report.md, report.html, five figures
    assert everything(store.root) == everything(reported.root)


def test_html_is_one_well_formed_page_with_every_figure_inside(reported, text):
    page = (reported.root / "report.html").read_text()
    page = re.sub(r"(?s)<script>.*?</script>", "", page)
    tree = ElementTree.fromstring(page.removeprefix("<!DOCTYPE html>\n"))
    figures = [part for part in tree.iter("span") if "figure" in part.attrib.get("class", "")]
    assert len(figures) == len(list(reported.root.glob("figures/*.svg"))) == text.count("](figures/")
    assert all(picture.tag.endswith("svg") for figure in figures for panel in figure for picture in panel)
    assert "trial 1 (winner)" in "".join(figures[1].itertext())  # letters are letters, not outlines
    shown = "".join(tree.itertext())
    assert "Row 32: <b>where</b> is | my `refund_status`? Please & thanks, $5" in shown
    assert "other | <none>" in shown
    assert not list(tree.iter("b"))


def test_passwords_in_addresses_are_masked(make):
    settings = config(storage="postgresql://me:hunter2-@db/sweep")
    store = make(six_trials()[:1], settings=settings)
    write_report(store)
    assert "hunter2-" not in (store.root / "report.md").read_text() + (store.root / "report.html").read_text()


def test_more_trials_than_the_last_command_asked_for(make):
    trials = [completed(number, [0.5], [1.0], {LR: 0.1}) for number in range(2)]
    store = make(trials, settings=config(n_trials=1))
    assert summary_lines(store)[0].startswith("Trials    2, 1 more than study.n_trials=1 asks for: 2 completed")
    write_report(store)
    assert "2 trials ended, more than the 1 asked for now" in (store.root / "report.md").read_text()


def test_a_value_that_was_cut_is_reported_beside_the_one_asked_for(make):
    cut = completed(0, [0.5], [1.0], {"optimizer.warmup_steps": 300})
    store = make([replace(cut, used={"optimizer.warmup_steps": 39}), completed(1, [0.4], [1.0], {})])
    assert "          optimizer.warmup_steps=300 (39 used)" in summary_lines(store)
    write_report(store)
    assert "300 (39 used)" in (store.root / "report.md").read_text()


def test_summary_lines(reported):
    lines = summary_lines(reported)
    assert (
        lines[0]
        == "Trials    5 of 6: 2 completed, 1 pruned, 2 failed (1 diverged, 1 out of memory); 1 stopped on the way"
    )
    assert f"          {LR}=0.0015" in lines
    assert any(line.split() == ["test", "after", "training", "0.8400", "0.5500", "0.8322", "0.8311"] for line in lines)
    assert any(line.split()[:4] == ["test", "majority", "class", "0.1100"] for line in lines)
    assert lines[-1] == f"Report    {reported.root / 'report.html'} (and report.md)"


def test_study_summary_is_flat_and_plain(reported):
    found = study_summary(read(reported))
    assert found["study/completed"] == 2
    assert [found[f"study/{name}"] for name in ("trials", "pruned", "failed", "stopped", "paused", "put_away")] == [
        5, 1, 2, 1, 0, 0,
    ]  # fmt: skip
    assert found["study/best_trial"] == 1
    assert found["test/accuracy"] == 0.84
    assert found["baseline/test/accuracy"] == 0.11
    assert found[f"params/{BATCH}"] == 16
    assert all(isinstance(value, int | float | str) for value in found.values())


def test_before_the_final_record_the_report_says_what_is_missing(make):
    store = make(six_trials()[:2])
    append_row(evals([0.2], [2.0])[0], store.trial_dir(2))
    store.marks(2).begin()
    text = words(store)
    assert "**Trial 1 leads** with eval/accuracy 0.8833" in text
    assert "4 trials of 6; the end of trial 2, which was killed; the retraining of the winner" in text
    assert "On the test split" not in text
    assert "python -m sweep +experiment=toy" in text
    assert "not retrained and tested yet" in "\n".join(summary_lines(store))
    assert "test/accuracy" not in study_summary(read(store))


def test_trials_that_are_put_away_are_said_to_go_on(make):
    store = make(six_trials()[:2])
    for number in (2, 4):
        append_row(evals([0.2], [2.0])[0], store.trial_dir(number))
    text = words(store)
    assert "4 trials of 6; 2 trials are put away and go on with the same command; the retraining of the winner" in text
    assert "Trial 4, put away" in text and "2 put away" in "\n".join(summary_lines(store))
    assert analyse(read(store)).progress.put_away == (2, 4)


def test_paused_trials_are_named_and_counted(make):
    first, second, *_ = six_trials()
    third = replace(first, number=2, outcome=Pruned(evals([0.2], [2.0]), Cost(steps=5)), pauses=1)
    store = make([replace(first, pauses=1, promotions=1), second, third])
    append_row(evals([0.2], [2.0])[0], store.trial_dir(4))
    store.write_pause(replace(second, number=4, outcome=Pruned(evals([0.2], [2.0]), Cost()), pauses=2, promotions=1))
    store.marks(4).clear()
    text = words(store)
    assert "1 trial is paused and may go on with the same command; the retraining of the winner" in text
    assert "Trial 4, paused" in text and "1 paused now" in "\n".join(summary_lines(store))
    assert (
        "The pruner paused 3 trials, of which 2 were promoted later and 1 ended as pruned, and 1 is paused now." in text
    )
    assert "; 3 were paused: 2 promoted, 1 ended as pruned, 1 paused now" in text
    assert "Paused after evaluation 1" in text and "did not promote it before the study ended" in text
    assert (progress := analyse(read(store)).progress).paused == (4,) and progress.put_away == ()


def test_when_every_trial_failed(make):
    store = make(six_trials()[3:])
    text = words(store)
    assert "**No trial has completed**" in text
    assert "too few to say what a hyperparameter did" in text
    assert "none: no trial has completed" in "\n".join(summary_lines(store))
    assert "study/best_trial" not in study_summary(read(store))


def test_one_trial_without_a_search(make):
    only = completed(0, [0.5], [1.0], {})
    text = words(make([only], settings=config(n_trials=1), ending=final(only)))
    assert "One trial, with the values of the experiment, reached eval/accuracy 0.5000 at epoch 1." in text
    for absent in (
        "What each hyperparameter did",
        "## The trials",
        "second best",
        "| sampler |",
        " won",
        "of 1 completed",
    ):
        assert absent not in text
    assert "## The training, twice" in text


def test_one_trial_that_failed_is_still_reported(make):
    failed = trial(0, {}, Failed(FailureReason.DIVERGED, "loss is nan", evals([0.3], [2.0]), cost(7.0, 61)))
    text = words(make([failed], settings=config(n_trials=1)))
    assert "**No trial has completed**" in text
    assert "Diverged: a loss or score was no finite number (after evaluation 1" in text


def test_devices_are_distinguished_where_they_differ(make):
    trials = six_trials()[:2]
    other = replace(trials[0], outcome=replace(trials[0].outcome, cost=replace(cost(9.0, 60), device="A GPU")))
    spent = rows(section(words(make([other, trials[1]])), "What it cost"))
    assert {row[-1] for row in spent if row[0] in ("trial 0", "trial 1")} >= {"A GPU", "A CPU"}


def sized(record, trained):
    cost_of = replace(record.outcome.cost, trained_parameters=trained)
    return replace(record, outcome=replace(record.outcome, cost=cost_of))


@pytest.mark.parametrize(
    ("losses", "sizes", "said"),
    [
        ((1.5, 1.4, 1.6), (9, 9, 9), "trial 1 counts as the best, for its eval/loss is the lowest (1.4000)"),
        ((1.5, 1.4, 1.4), (9, 9, 5), "trial 2 counts as the best, for it trains the fewest parameters (5)"),
        (
            (1.5, 1.5, 1.5),
            (9, 9, 9),
            "trial 0 counts as the best, for it is the earliest of those with the same eval/loss",
        ),
    ],
)
def test_equal_trials_are_reported_by_loss_then_size_then_number(make, losses, sizes, said):
    tied = [sized(completed(n, [0.5, 0.6], [2.0, losses[n]], {LR: 1e-3, BATCH: 8}), sizes[n]) for n in range(3)]
    assert f"Trials 0, 1, 2 are equal in eval/accuracy (0.6000): {said}." in words(make(tied))


def test_equal_evaluations_of_the_winner_are_reported(make):
    winner = completed(1, [0.5, 0.9, 0.9], [1.0, 0.6, 0.5], {LR: 1e-3, BATCH: 8})
    text = section(words(make([winner], ending=final(winner))), "The winner")
    assert "The evaluations of epochs 2, 3 are equal in eval/accuracy; that of epoch 2 counts" in text


def test_a_mock_address_is_no_link(make):
    settings = config().model_copy(update={"tracker": TrackerConfig(name="mock")})
    assert "Recorded as run-1." not in words(make(six_trials()[:2], settings=settings))
    assert "Recorded as run-1." in words(make(six_trials()[:2]))


def test_only_quantised_bases_name_their_compute_type(make):
    settings = config()
    assert "`compute_dtype` bfloat16" not in words(make(six_trials()[:2], settings=settings)).split("```yaml")[0]
    nf4 = settings.model_copy(update={"adapter": LoraConfig(quantization="nf4")})
    assert "`compute_dtype` bfloat16" in words(make(six_trials()[:2], settings=nf4)).split("```yaml")[0]


def test_trials_that_report_no_evaluations_and_only_nan(make):
    silent = trial(0, {LR: 1e-4, BATCH: 8}, Failed(FailureReason.DIVERGED, "", (), Cost()))
    broken = trial(
        1, {LR: 1e-3, BATCH: 8}, Failed(FailureReason.DIVERGED, "", evals([math.nan], [math.inf]), cost(1, 60))
    )
    text = words(make([silent, broken]))
    assert "No evaluation was reached." in text
    assert "eval/accuracy was not a finite number at evaluation 1." in text
    assert "figures/search.svg" not in text


def test_figures_that_no_longer_hold_are_removed(store):
    write_report(store)
    (store.root / "figures" / "mine.svg").write_text("")
    (store.final_dir / "record.json").unlink()
    write_report(store)
    assert not (store.root / "figures" / "confusion.svg").exists()
    assert (store.root / "figures" / "mine.svg").exists()


def test_minimised_loss_makes_the_lowest_score_the_best(make):
    settings = config(metric="eval/loss", direction="minimize")
    first, second = (completed(n, [0.5, 0.6], [2.0 - n, 1.5 - n], {LR: 1e-3, BATCH: 8}) for n in range(2))
    assert isinstance(second.outcome, Completed)
    text = words(make([first, second], settings=settings))
    assert "**Trial 1 leads** with eval/loss 0.5000 at epoch 2" in text
    assert "The best trial is 1.0000 better in eval/loss than the second best (1.5000)." in text


def test_seventy_seven_labels_stay_readable(make):
    labels = tuple(f"intent_{index}" for index in range(77))
    record = six_trials()[1]
    text = words(make([record], ending=final(record, labels), labels=labels))
    assert "The 7 rarest of 77 labels:" in text and "The 7 worst, by F1:" in text and "The 7 best:" in text
    assert "<summary>All 77 labels, the rarest first</summary>" in text
    assert "The 15 most frequent pairs hold 57.7 % of the mistakes:" in text
    assert "The 77 × 77 counts are in `final/confusion.csv`." in text


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (lambda _: None, "is no folder"),
        (lambda root: root.mkdir(), "is no run directory: it has no lock.json"),
        (lambda root: root.write_text("a file"), "is no folder"),
    ],
)
def test_no_run_directory(tmp_path, prepare, said):
    root = tmp_path / "elsewhere"
    prepare(root)
    with pytest.raises(UserError, match=said):
        write_report(Store(root))


def test_a_study_without_a_finished_trial_reports_what_there_is(make):
    store, begun = make(), six_trials()[1]
    assert "No trial has ended yet." in words(store)
    log_events(store, begun, begun.outcome.evals[:2])
    store.marks(1).begin()
    text = words(store)
    assert "the end of trial 1, which was killed" in text
    assert ["2", "120", "0.8833"] in [
        [row[0], row[1], row[4]] for row in rows(section(text, "The trials")) if len(row) > 4
    ]
    assert "0 of 6" in summary_lines(store)[0]


def test_a_folder_of_run_directories_names_them(make):
    store = make()
    with pytest.raises(UserError, match="below it there are: made"):
        write_report(Store(store.root.parent))


def test_a_record_of_another_shape(store):
    (store.trial_dir(0) / "record.json").write_text('{"number": "zero"}')
    with pytest.raises(UserError, match="cannot be read"):
        write_report(store)


def test_a_large_picture_scrolls_and_long_texts_keep_their_width(make, tmp_path):
    labels = tuple(f"intent_{index}" for index in range(77))
    record = six_trials()[1]
    store = make([record], ending=final(record, labels), labels=labels)
    write_report(store)
    page = (store.root / "report.html").read_text()
    assert page.count('<span class="figure fixed" role="group" aria-label="Confusion on the test split"') == 1
    assert page.count('<span class="figure fixed"') == 1
    assert re.search(r'<td [^>]*class="long">Row ', page)


@pytest.mark.parametrize(
    ("score", "said"),
    [
        (0.6, "Trial 1 scored the same as trial 0 and now counts as the best (0.6000)"),
        (0.7, "has since become the best"),
    ],
)
def test_a_winner_that_another_trial_overtook_is_reported(make, score, said):
    trials = [completed(n, [0.5, (0.6, score)[n]], [2.0, (1.5, 1.0)[n]], {LR: 1e-3, BATCH: 8}) for n in range(2)]
    text = words(make(tuple(trials), ending=final(trials[0])))
    assert said in text and "the final figures are still those of trial 0" in text


def of_one_label(record: TrialRecord, metric: str) -> TrialRecord:
    """Return the trial with its accuracies under the name of another metric too."""

    def scored(point: EvalPoint) -> EvalPoint:
        return replace(point, metrics={**point.metrics, metric: point.metrics["eval/accuracy"]})

    outcome = replace(record.outcome, evals=tuple(map(scored, record.outcome.evals)))
    if isinstance(outcome, Completed):
        outcome = replace(outcome, best=scored(outcome.best))
    return replace(record, outcome=outcome, measured={metric.replace("/", ".", 1): 0.9})


def test_the_label_in_the_objective_may_have_any_name(make):
    name = "f1/a|b <c> `d` *e*\\"
    trials = tuple(of_one_label(one, f"eval/{name}") for one in six_trials())
    beyond = Failed(FailureReason.INFEASIBLE, "", (), Cost(), excess={f"eval.{name}": 0.8})
    trials = (*trials[:5], replace(trials[5], outcome=beyond))
    settings = config(metric=f"eval/{name}", limits={f"eval.{name}": 0.5})
    store = make(trials, settings=settings, ending=replace(final(trials[1]), test={f"test/{name}": 0.8}))
    text = words(store)
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert all(len({len(row) for row in rows(table)}) == 1 for table in tables)
    escaped = "f1/a\\|b &lt;c&gt; \\`d\\` \\*e\\*\\\\"
    assert f"| epoch | step | eval/loss, trial | retrained | difference | eval/{escaped}, trial |" in text
    assert f"| trial | ended | eval.{escaped} | beyond |" in text
    assert any(line.split(None, 1)[-1].startswith(name) for line in summary_lines(store) if line.startswith("Scores"))
