"""Figures → SVG: one file for each figure in report.md, and one picture for each panel in a
page."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from sweep.analysis.plain import plain
from sweep.config.folders import cache_dir
from sweep.errors import first_line, shortened
from sweep.records.disk import write_whole
from sweep.report.plot import NARROW, Figure, Spec, complete

_PROGRAM = Path(__file__).with_name("draw_panels.py")
_PATIENCE = 300.0  # seconds
_SIZE = re.compile(r'width="([\d.]+)" height="([\d.]+)"')
_ID = re.compile(r'(?<= id=")|(?<=url\(#)')
_GAP = 12  # pixels between the panels of a file


@dataclass(frozen=True, slots=True)
class Drawn:
    """The pictures of each figure's panels by name, and the specs that charts with tooltips are
    made of. `bundle` is the JavaScript of Vega, `fault` the reason why nothing could be drawn."""

    figures: Mapping[str, Figure] = field(default_factory=dict)
    pictures: Mapping[str, Sequence[str]] = field(default_factory=dict)
    bundle: str = ""
    fault: str = ""


def draw(figures: Mapping[str, Figure], folder: Path, known: Iterable[str]) -> Drawn:
    """Write every figure as `folder`/NAME.svg and return the pictures. Where drawing fails, no
    figure is written, and the report does without.

    Files of the `known` names that an earlier report left and this one does not have are removed,
    and so are the PNG files of earlier versions.
    """
    drawn = _drawn(figures) if figures else Drawn()
    for name in known:
        (folder / f"{name}.png").unlink(missing_ok=True)
        if name not in drawn.pictures:
            (folder / f"{name}.svg").unlink(missing_ok=True)
    for name, pictures in drawn.pictures.items():
        write_whole(folder / f"{name}.svg", _side_by_side(pictures, figures[name].columns), sync=False)
    return drawn


def _drawn(figures: Mapping[str, Figure]) -> Drawn:
    specs = [plain(complete(panel, width=NARROW)) for figure in figures.values() for panel in figure.panels]
    kept = cache_dir() / f"vega-{metadata.version('vl-convert-python')}.js"
    bundle = kept.read_text() if kept.exists() else ""
    try:
        pictures, made = _asked(specs, bundle=not bundle)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return Drawn(fault=shortened(first_line(error), 200))
    if not bundle:
        bundle = made
        with suppress(OSError):  # the next report asks for it again
            write_whole(kept, bundle, sync=False)
    found: dict[str, list[str]] = {}
    start = 0
    for name, figure in figures.items():
        own = pictures[start : start + len(figure.panels)]
        found[name] = [_own_ids(picture, f"{name}-{place}-") for place, picture in enumerate(own)]
        start += len(figure.panels)
    return Drawn(figures, found, bundle)


def _asked(specs: Sequence[Spec], *, bundle: bool) -> tuple[list[str], str]:
    """Return the pictures and the bundle of `sweep.report.draw_panels`.

    Raises OSError, SubprocessError or ValueError.
    """
    done = subprocess.run(
        [sys.executable, "-I", str(_PROGRAM)],
        input=json.dumps({"specs": specs, "bundle": bundle}, allow_nan=False),
        capture_output=True, text=True, timeout=_PATIENCE, check=False,
    )  # fmt: skip
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise subprocess.SubprocessError(said[-1] if said else f"exit code {done.returncode}")
    answer = json.loads(done.stdout)
    return list(answer["pictures"]), str(answer["bundle"])


def _own_ids(picture: str, prefix: str) -> str:
    """Return a picture whose ids begin with `prefix`: a page has several pictures in one space of
    ids."""
    return _ID.sub(prefix, picture)


def _side_by_side(pictures: Sequence[str], columns: int) -> str:
    """Return one SVG of several, in rows of `columns`."""
    placed, top, right = [], 0.0, 0.0
    for first in range(0, len(pictures), columns):
        row, left = pictures[first : first + columns], 0.0
        sizes = [_size(picture) for picture in row]
        for picture, (width, _) in zip(row, sizes, strict=True):
            placed.append(picture.replace("<svg ", f'<svg x="{left:g}" y="{top:g}" ', 1))
            left += width + _GAP
        right, top = max(right, left - _GAP), top + max(height for _, height in sizes) + _GAP
    size = f'width="{right:g}" height="{top - _GAP:g}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {right:g} {top - _GAP:g}">'
    return f'{head}<rect width="100%" height="100%" fill="white"/>{"".join(placed)}</svg>\n'


def _size(picture: str) -> tuple[float, float]:
    """Return the width and height of an SVG in pixels."""
    found = _SIZE.search(picture)
    assert found is not None, "vl-convert gives every picture a size"
    return float(found[1]), float(found[2])
