"""The pages: the table of runs, curves, escaping, and sorting in a real browser where there is
one."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from wandb_mock import MockServer
from wandb_mock.backend import Backend
from wandb_mock.page import POLICY, columns, curves, render
from wandb_mock.page.markup import cell, table

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "")


def get(url: str) -> str:
    with urllib.request.urlopen(url) as answer:
        return str(answer.read().decode())


class Balance(HTMLParser):
    """A parser that checks that each opened element is closed, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, *_: object) -> None:
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, *_: object) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def balanced(page: str) -> bool:
    parser = Balance()
    parser.feed(page)
    return not parser.open


def add(
    backend: Backend, name: str, config: dict[str, Any], summary: dict[str, Any], *rows: dict[str, Any], **more: Any
) -> None:
    run, _ = backend.ensure_run("mock", "p", name)
    wrapped = {key: {"value": value} for key, value in config.items()}
    backend.update_run(run, {"raw_config": wrapped, "group": "study", "job_type": "trial", **more})
    lines = [json.dumps({"_step": at, **row}) for at, row in enumerate(rows)]
    files = {"wandb-history.jsonl": {"offset": 0, "content": lines}}
    files["wandb-summary.json"] = {"offset": 0, "content": [json.dumps(summary)]}
    backend.stream(run.key, {"files": files, "complete": True, "exitcode": 0})


def trial(backend: Backend, number: int, rate: float, score: float | None, **more: Any) -> None:
    config = {"params": {"optimizer.learning_rate": rate}, "study": {"metric": "eval/f1"}, "secret_detail": "deep"}
    summary = {"state": "completed" if score is not None else "pruned", "best/eval/f1": 0.125}
    summary |= {} if score is None else {"optuna/value": score}
    rows = [{"train/global_step": 10 * at, "eval/f1": at / 4} for at in range(3)]
    add(backend, f"t-{number}", config, summary, *rows, **more)


@pytest.fixture
def backend(tmp_path: Path) -> Backend:
    return Backend(tmp_path / "kept")


def test_a_run_is_shown_on_every_page(server: MockServer) -> None:
    trial(server.backend, 0, 0.25, 0.5, display_name="<b>one</b>")
    for path in ("/", "/mock/p", "/mock/p/runs/t-0"):
        page = get(server.url + path)
        assert balanced(page)
        assert "&lt;b&gt;one&lt;/b&gt;" in page and "<b>one</b>" not in page
        assert "completed" in page and "0.25" in page and "<polyline" in page
    with pytest.raises(urllib.error.HTTPError, match="404"):
        get(f"{server.url}/mock/absent")


def test_an_empty_server_has_a_page(server: MockServer) -> None:
    page = get(server.url)
    assert "Nothing has arrived" in page and balanced(page)


def test_the_table_has_searched_values_state_and_score(backend: Backend) -> None:
    trial(backend, 0, 0.001, 0.75)
    trial(backend, 1, 1e-05, None)
    page = render(backend, ["mock", "p"]) or ""
    heads = re.findall("<th>(.*?)</th>", page.partition("</thead>")[0])
    assert heads == ["run", "job type", "state", "score", "learning_rate", "curve", "rows", "tags"]
    assert page.count('<table class="sortable">') == 1 and "study: 2 runs" in page
    assert '<td class="number" data-number="0.75">0.75</td>' in page
    assert '<td class="number" data-number="1e-05">1e-05</td>' in page
    assert '<span class="finished">pruned</span>' in page and 'data-number="0.125"' in page


def test_the_whole_config_is_on_the_runs_own_page_alone(backend: Backend) -> None:
    trial(backend, 0, 0.001, 0.75)
    assert "secret_detail" in (render(backend, ["mock", "p", "runs", "t-0"]) or "")
    for parts in ([], ["mock", "p"]):
        assert "secret_detail" not in (render(backend, parts) or "secret_detail")


def test_without_params_the_config_values_that_differ_are_shown(backend: Backend) -> None:
    for number, rate in enumerate((0.1, 0.2)):
        add(backend, f"r{number}", {"opt": {"lr": rate, "name": "sgd"}, "seed": 1}, {"score": rate})
    runs = backend.runs_of("mock", "p")
    assert columns.searched(runs) == columns.Searched(["opt.lr"], [[0.1], [0.2]])
    assert [columns.score(run) for run in runs] == [0.1, 0.2] and columns.state(runs[0]) == "finished"
    assert "curve" not in re.findall("<th>(.*?)</th>", render(backend, []) or "")


@pytest.mark.parametrize("odd", [{"params": [1], "study": 3}, {"study": {"metric": None}}, {"params": {}}])
def test_odd_configs_have_a_page(backend: Backend, odd: dict[str, Any]) -> None:
    add(backend, "odd", odd, {"state": 7, "optuna/value": True, "score": "high"})
    assert balanced(render(backend, []) or "<p>") and balanced(render(backend, ["mock", "p", "runs", "odd"]) or "<p>")
    (run,) = backend.runs_of("mock", "p")
    assert (columns.state(run), columns.score(run)) == ("finished", None)


def test_a_run_without_params_has_no_searched_values_where_others_have_them(backend: Backend) -> None:
    trial(backend, 0, 0.001, 0.75)
    add(backend, "study", {"optimizer": {"learning_rate": 0.5}}, {}, job_type="study")
    found = columns.searched(backend.runs_of("mock", "p"))
    assert found == columns.Searched(["optimizer.learning_rate"], [[0.001], [None]])


def test_short_names_are_distinguished() -> None:
    assert columns.short_names(["adapter.r", "a.seed", "b.seed"]) == ["r", "a.seed", "b.seed"]


@pytest.mark.parametrize(
    ("value", "html"),
    [
        (3, '<td class="number" data-number="3.0">3</td>'),
        (1 / 3, f'<td class="number" data-number="{1 / 3!r}">0.333333</td>'),
        (-math.inf, '<td class="number" data-number="-Infinity">-inf</td>'),
        (10**400, f'<td class="number" data-number="Infinity">{10**400}</td>'),
        (math.nan, "<td>nan</td>"),
        (True, "<td>true</td>"),
        (None, "<td></td>"),
        ("<i>", "<td>&lt;i&gt;</td>"),
        (["<i>"], "<td>[&quot;&lt;i&gt;&quot;]</td>"),
    ],
)
def test_cells(value: object, html: str) -> None:
    assert str(cell(value)) == html


def test_a_chart_has_its_values_at_its_axes() -> None:
    rows = [{"_step": at, "train/global_step": 50 * at, "<loss>": 2.0 - at} for at in range(3)]
    drawn = curves.charts(rows)
    assert drawn.count("<svg") == 1 and "&lt;loss&gt;" in drawn and "<loss>" not in drawn
    assert [re.sub("<.*?>", "", text) for text in re.findall("<text.*?</text>", drawn)] == [
        "2", "0", "0", "train/global_step", "100",
    ]  # fmt: skip
    (line,) = re.findall('points="(.*?)"', drawn)
    assert line.split() == ["66.0,10.0", "188.0,75.0", "310.0,140.0"]


def test_a_long_curve_is_thinned_and_keeps_its_ends() -> None:
    drawn = curves.charts([{"_step": at, "loss": at} for at in range(5000)])
    (line,) = re.findall('points="(.*?)"', drawn)
    assert len(line.split()) == 500 and (line.split()[0], line.split()[-1]) == ("66.0,140.0", "310.0,10.0")


@pytest.mark.parametrize("values", [[1.0], [1.0, 1.0], [-1.7e308, 1.7e308], [math.nan, "x", None], [10**400, 2]])
def test_a_curve_of_any_values_can_be_drawn(values: list[Any]) -> None:
    drawn = curves.charts([{"_step": at, "x": value} for at, value in enumerate(values)])
    assert "nan" not in drawn and "inf" not in drawn


def test_no_script_runs_but_the_pages_own(server: MockServer) -> None:
    trial(server.backend, 0, 0.25, 0.5, display_name="</script><script>alert(1)</script>")
    with urllib.request.urlopen(server.url) as answer:
        assert answer.headers["Content-Security-Policy"] == POLICY and "script-src 'sha256-" in POLICY
        page = answer.read().decode()
    assert page.count("<script>") == 1 and "http" not in page.partition("<script>")[2].partition("</script>")[0]


SORTED = """<pre id="found"></pre><script>
const found = [], heads = [...document.querySelectorAll("th button")];
const column = at => [...document.querySelectorAll("tbody tr")].map(row => row.cells[at].textContent).join();
for (const at of [0, 0, 1, 1]) { heads[at].click(); found.push(column(at) + " " + heads[at].parentNode.ariaSort); }
document.getElementById("found").textContent = found.join("; ");
</script>"""


def dumped(address: str, folder: Path) -> str:
    command = [
        BROWSER,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={folder}",
        "--dump-dom",
        address,
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=100).stdout


@pytest.mark.slow
@pytest.mark.skipif(not BROWSER, reason="there is no Chromium")
def test_a_click_sorts_numbers_as_numbers(backend: Backend, tmp_path: Path) -> None:
    """The page's own script, with a script beside it that clicks; empty cells come last either
    way."""
    values: list[tuple[object, object]] = [
        (10, "run-10"),
        (9.5, "run-9"),
        (None, ""),
        (1e-5, "b"),
        (-3, "a"),
        ("x", "Z"),
    ]
    rows = [[cell(number), cell(name)] for number, name in values]
    page = render(backend, []) or ""
    sortable = table(("number", "name"), rows, sortable=True)
    (tmp_path / "page.html").write_text(page.replace("<script>", sortable + "<script>") + SORTED)
    (found,) = re.findall(
        '<pre id="found">(.*?)</pre>', dumped(f"file://{tmp_path / 'page.html'}", tmp_path / "profile")
    )
    assert found.split("; ") == [
        "-3,1e-05,9.5,10,x, ascending",
        "10,9.5,1e-05,-3,x, descending",
        "a,b,run-9,run-10,Z, ascending",
        "Z,run-10,run-9,b,a, descending",
    ]


@pytest.mark.slow
@pytest.mark.skipif(not BROWSER, reason="there is no Chromium")
def test_the_server_lets_its_own_script_run(server: MockServer, tmp_path: Path) -> None:
    """Heads become buttons by the script alone."""
    trial(server.backend, 0, 0.25, 0.5)
    assert '<th><button type="button">score</button></th>' in dumped(server.url, tmp_path / "profile")
