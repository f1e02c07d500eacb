"""The loop of `sweep predict`: a window is read, labelled and written before the next one is
read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from sweep.data.stream import Window
from sweep.predict.columns import Added
from sweep.predict.output import Writer
from sweep.predict.tally import Tally

if TYPE_CHECKING:
    from sweep.predict.classifier import Classifier


def label_rows(
    model: Classifier,
    windows: Iterable[Window],
    writer: Writer,
    tally: Tally,
    *,
    texts: Sequence[str],
    added: Added,
    batch_size: int | None = None,
) -> None:
    """Write the rows of all windows with their predictions. `texts` are the columns of one text,
    or of two."""
    for window in windows:
        pairs = window.column(texts[1]) if len(texts) > 1 else None
        found = model.predict(window.column(texts[0]), pairs, batch_size=batch_size)
        writer.write(window, [added.values(one) for one in found])
        tally.add(window.first, found)
