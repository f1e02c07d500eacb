from __future__ import annotations

from sweep.report.page import page


def test_only_our_own_folds_pass_as_html():
    fold = '<details open="">\n<summary>A &lt; B</summary>\n\ninside\n\n</details>'
    html = page(f"{fold}\n\n<script>alert(1)</script>\n\ntext <img src=x onerror=alert(1)>", title="<t>")
    assert '<details open="">\n<summary>A &lt; B</summary>' in html
    assert "<script" not in html
    assert "<img" not in html
    assert "<title>&lt;t&gt;</title>" in html
