"""A process that has imported `sweep` and everything below it, and forks for each command.

It reads a command as one line of JSON from standard input, writes the id of the child that runs it,
and, when the child has ended, its exit code (negative: the signal that ended it). A start takes a
tenth of the time of `python -m sweep`, most of which is the import of torch and transformers.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any


def main() -> None:
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # some libraries print while they are imported
    _import_all()
    print("ready", file=replies)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _become(json.loads(line))
        print(child, file=replies)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=replies)


def _import_all() -> None:
    """Import everything, and do once what is kept: the parser's tables, the templates."""
    import atexit
    import gc
    import weakref

    import alembic.command  # noqa: F401
    import datasets  # noqa: F401
    import peft  # noqa: F401
    import sklearn.metrics  # noqa: F401
    import transformers  # noqa: F401
    import wandb  # noqa: F401

    import sweep.engine.packed.engine
    import sweep.engine.trainer
    import sweep.final.confirm
    import sweep.launch.start
    import sweep.report.publish
    import sweep.study.prepare
    import sweep.study.search
    import sweep.study.session
    import sweep.track.mock_tracker  # noqa: F401
    from sweep.config.compose import Composer

    Composer().compose(["+experiment=quickstart", "study.space=null", "adapter=head"])
    gc.freeze()  # a collection in a fork is not to copy the pages of all that
    # Temporary folders of the imported modules are for all forks: none deletes them when it ends.
    for folder in weakref.finalize._registry:  # type: ignore[attr-defined]
        folder.atexit = False
    atexit._clear()
    atexit.register(weakref.finalize._exitfunc)  # type: ignore[attr-defined]


def _become(command: dict[str, Any]) -> None:
    """Run `sweep ARGUMENTS` in a session of its own, with output to a file. Does not return."""
    os.setsid()
    log = os.open(command["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.environ |= command["environment"]
    sys.argv = ["sweep", *command["arguments"]]
    code: Any = 1
    try:
        from sweep.__main__ import main as program

        program()
        code = 0
    except SystemExit as done:
        code = done.code if isinstance(done.code, int) else 0 if done.code is None else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        _exit(code)


def _exit(code: int) -> None:
    """End the process as Python does: with the functions of `atexit`, and all output written."""
    import atexit

    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
