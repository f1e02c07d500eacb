"""The former address of the mock W&B server: `python -m sweep.track.mock` names the new command
and ends with code 2."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    print("error: the mock W&B server has moved; type python -m wandb_mock FOLDER", file=sys.stderr)
    raise SystemExit(2)
