"""`python -m sweep.track.review`: take a `Review` as JSON from standard input, write it with the
account of the environment, and give what was written as the last line of standard output."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout

from pydantic import TypeAdapter

from sweep.track.review.content import Review, Written


def main() -> None:
    review = TypeAdapter(Review).validate_json(sys.stdin.buffer.read())
    with redirect_stdout(sys.stderr):  # the client prints what it does
        from sweep.track.review.write import write

        written = write(review)
    print(TypeAdapter(Written).dump_json(written).decode(), flush=True)


if __name__ == "__main__":
    main()
