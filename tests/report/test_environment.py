from __future__ import annotations

import jinja2
import pytest

from sweep.analysis.facts import read
from sweep.analysis.study import analyse
from sweep.config.batch import ACCUMULATION, EFFECTIVE, PER_DEVICE
from sweep.report import units
from sweep.report.environment import environment, render


def test_a_value_that_was_not_given_is_an_error():
    with pytest.raises(jinja2.UndefinedError):
        environment().from_string("{{ absent }}").render()


def test_a_text_template_is_left_as_it_is(reported):
    text = render("study/summary.txt.j2", study=analyse(read(reported)), report="report.html")
    assert text.startswith("Trials    5 of 6") and text.endswith("Report    report.html (and report.md)")


def test_texts_of_the_data_are_harmless_in_a_template():
    made = environment().from_string("{{ text | md }}")
    assert made.render(text="<b> *a* | `b`\n# c") == r"&lt;b&gt; \*a\* \| \`b\` # c"


def test_the_split_of_an_effective_batch_is_shown() -> None:
    used = {PER_DEVICE: 16, ACCUMULATION: 4}
    assert units.searched_value({EFFECTIVE: 64}, used, EFFECTIVE) == "64 (16 × 4)"
    assert units.searched_value({EFFECTIVE: 64}, {}, EFFECTIVE) == "64"
