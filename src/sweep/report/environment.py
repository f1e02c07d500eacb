"""The Jinja environment of all reports: templates hold the sentences, and filters write the
numbers.

A template named `….md.j2` is Markdown and is laid out after rendering (see `layout.laid_out`); one
named `….txt.j2` is text for the terminal and is left as it is, without the empty lines at both
ends.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment

from sweep.config.limits import number
from sweep.data.duplicates import sentences
from sweep.data.raw import listed
from sweep.model import markdown
from sweep.records.spent import amount_text
from sweep.report import units
from sweep.report.layout import aligned, bold, bullets, laid_out, listing, table
from sweep.report.wording import made


def render(template: str, **values: object) -> str:
    """Return the text of `templates/TEMPLATE` with these values.

    Raises jinja2.UndefinedError where the template names a value that was not given.
    """
    text = environment().get_template(template).render(**values)
    return laid_out(text) if template.endswith(".md.j2") else text.strip("\n")


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Return the one environment of all reports."""
    jinja = markdown.environment(Path(__file__).parent / "templates")
    jinja.filters |= {
        "table": table,
        "bold": bold,
        "bullets": bullets,
        "listing": listing,
        "listed": listed,
        "duplicates": sentences,
        "yaml": dumped,
        "made": made,
        "searched": searched,
        "aligned": aligned,
        "python": repr,
        "reported": units.reported,
        "p_value": units.p_value,
        "epoch": units.epoch,
        "state": units.state,
        "decimals": units.decimals,
        "score": units.score,
        "signed": units.signed,
        "share": units.share,
        "count": units.count,
        "plural": units.plural,
        "seconds": units.seconds,
        "rate": units.rate,
        "size": units.size,
        "flops": units.flops,
        "amount": amount_text,
        "value": units.value,
        "limited": number,
    }
    jinja.globals["missing"] = units.MISSING
    return jinja


def searched(one: Any, key: str) -> str:
    """Return what `one.params` has for the key, and what `one.used` has in its place."""
    return units.searched_value(one.params, one.used, key) if key in one.params else units.MISSING


def dumped(value: object) -> str:
    """Return the value as YAML in the order of its keys."""
    return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=110))
