from __future__ import annotations

from sweep.model.markdown import cells
from sweep.report.layout import aligned, bold, bullets, laid_out, listing, table


def test_an_indented_line_continues_the_line_above():
    assert laid_out("- one,\n  two\n    three\n- four\n") == "- one, two three\n- four"


def test_empty_lines_become_one_and_those_at_both_ends_go():
    assert laid_out("\n\n# A\n\n\n\nb\n  \n\nc\n\n") == "# A\n\nb\n\nc"


def test_fenced_text_stays_as_it_is():
    fenced = "````yaml\na:\n\n\n  b:   c\n```\n````"
    assert laid_out(f"x   y\n\n\n{fenced}\n\n\nz") == f"x y\n\n{fenced}\n\nz"


def test_empty_cells_of_a_table_are_kept():
    assert laid_out("| a |  | b |") == "| a |  | b |"


def test_a_table_is_aligned_by_what_its_columns_hold():
    found = table("| name | score |\n\n| a\\|b |\n  0.5 |\n| c | – |\n")
    assert found == "| name | score |\n| :--- | ---: |\n| a\\|b | 0.5 |\n| c | – |\n"


def test_a_sparse_table_leaves_out_columns_without_a_value():
    assert table("| a | b |\n| 1 | – |\n| – | – |", sparse=True) == "| a |\n| ---: |\n| 1 |\n| – |\n"


def test_bold_cells():
    assert bold("| 1 | – |") == "| **1** | – |\n"
    assert bold("| 1 | – |", dashes=True) == "| **1** | **–** |\n"
    assert cells(bold("| 1 | a\\|b |", False)) == ["1", "a\\|b"]


def test_lists_and_enumerations_leave_out_empty_lines():
    assert bullets("one\n  more\n\ntwo\n") == "- one more\n- two\n"
    assert listing("one\n\ntwo\n", "; ") == "one; two"


def test_columns_of_a_terminal():
    assert aligned("S | | a\n | test | 0.5000\n", 4) == f"S{'a':>17}\n    test    0.5000\n"
    assert aligned("S | a\\|b | c\n | d | e\n", 4) == f"S   a|b  {'c':>8}\n    d    {'e':>8}\n"
