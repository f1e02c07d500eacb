from __future__ import annotations

from sweep.config.schema import DatasetConfig

from .conftest import LABELS, config, emotions, final, rows, six_trials, words


def surest(text: str) -> list[list[str]]:
    return rows(text.partition("### The surest mistakes")[2].partition("\nAll ")[0])


def test_several_labels_are_missed_and_added(make):
    settings, ending = emotions()
    store = make([six_trials()[1]], settings=settings, labels=LABELS[:3])
    store.write_final(ending)
    (store.final_dir / "predictions.csv").write_text(
        "index,text,label,predicted,confidence\n0,hello,a|b,b|a,0.99\n1,one,a|b,a|c,0.7\n2,none,,a,0.8\n"
    )
    found = surest(words(store))
    assert found[0] == ["row", "tweet", "labels", "missed", "added", "confidence"]
    assert found[2:4] == [["2", "none", "–", "–", "a", "0.800"], ["1", "one", "a, b", "b", "c", "0.700"]]


def test_pairs_carry_the_names_of_their_columns(make):
    data = DatasetConfig(path="x", text_column="premise", text_pair_column="hypothesis")
    trial = six_trials()[1]
    store = make([trial], settings=config().model_copy(update={"dataset": data}))
    store.write_final(final(trial))
    (store.final_dir / "predictions.csv").write_text(
        "index,text,text_pair,label,predicted,confidence\n0,A dog.,A cat.,no | way,yes,0.6\n1,Rain.,Sun.,yes,yes,0.9\n"
    )
    text = words(store)
    assert surest(text)[0] == ["row", "premise", "hypothesis", "label", "predicted", "confidence"]
    assert surest(text)[2] == ["0", "A dog.", "A cat.", r"no \| way", "yes", "0.600"]
    assert "1 of 2 predictions are wrong. Mean confidence is 0.600 when wrong and 0.900 when right." in text
    assert "0.750, while 0.500 of the rows are right: the model is surer than it has reason to be." in text
    assert "`final/predictions.csv` holds 2 of 100 rows." in text


def test_more_mistakes_lie_in_a_fold_in_the_same_order(reported):
    text = words(reported)
    assert "<summary>The 1 after these</summary>" in text
    confidences = [float(row[-1]) for row in surest(text) if row[-1].startswith("0.")]
    assert len(confidences) == 16
    assert confidences == sorted(confidences, reverse=True)
