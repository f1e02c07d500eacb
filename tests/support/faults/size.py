"""The size of the long kill tests, from the environment.

`FAULTS_KILLS` is the number of SIGKILLs that are planned over all series (220, so that 200 are sent:
a study may end before its last ones), `FAULTS_A_SERIES` that of one series. Each series has a seed;
a failure names it, and `FAULTS_SEED=17 FAULTS_SERIES=1` repeats that series alone, with the same
`FAULTS_A_SERIES`.
"""

from __future__ import annotations

import os

KILLS_A_SERIES = int(os.environ.get("FAULTS_A_SERIES", "16"))


def seeds(share: float) -> range:
    """Return the seeds of the series of a test that delivers `share` of all kills."""
    series = round(int(os.environ.get("FAULTS_KILLS", "220")) * share / KILLS_A_SERIES)
    first = int(os.environ.get("FAULTS_SEED", "0"))
    return range(first, first + int(os.environ.get("FAULTS_SERIES", max(series, 1))))
