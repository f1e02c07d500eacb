"""The command line: Hydra's overrides, and those of Hydra's flags that apply here.

`hydra.main` is not used: it stops at the first fault, exits with 1, and makes an output folder and
a logging configuration of its own. Hydra still composes the config.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sweep.config.commands import listing
from sweep.config.folders import conf_dir, expanded, sweeps_dir
from sweep.errors import Fault, UserError

_USAGE = "python -m sweep +experiment=NAME [key=value …] [--config-dir DIR] [--cfg job [--resolve] [--package KEY]]"
_EXAMPLES = """\
examples:
  python -m sweep +experiment=quickstart tracker=mock           a first result: no GPU, no account
  python -m sweep +experiment=quickstart study.dry_run=true     the plan; nothing is trained
  python -m sweep +experiment=quickstart study.study_name=longer study.n_trials=20 optimizer.weight_decay=0
  python -m sweep +experiment=dialogpt_qlora --cfg job --resolve
  sweep report runs/quickstart --json                           the numbers of a report, for scripts
  sweep predict runs/quickstart new.csv --out labelled.csv      the winner's labels for the rows of a file

The same command goes on where it stopped. Exit codes: 0 done, 2 something to mend, which the message names,
130 interrupted, 141 nothing reads the output, 1 anything else."""

_SEARCH = "sweep searches by itself: study.space=FILE says what (docs/search.md), study.n_trials=N how long"
_CONFIG_DIR = "--config-dir DIR adds a folder of your own configs, and +experiment=NAME takes one of its experiments"
_HELP = ("-h", "--help")
# Flags of Hydra's own command line that sweep does not have, and what to use instead.
_OF_HYDRA = {
    "-m": _SEARCH,
    "--multirun": _SEARCH,
    "--experimental-rerun": "the same command goes on where it stopped",
    "-i": "use --cfg job, which prints the composed config",
    "--info": "use --cfg job, which prints the composed config",
    "-r": "leave it out: a command without --cfg runs",
    "--run": "leave it out: a command without --cfg runs",
    "-sc": "there is no shell completion; --help lists groups, experiments and search spaces",
    "--shell-completion": "there is no shell completion; --help lists groups, experiments and search spaces",
    "-cn": _CONFIG_DIR,
    "--config-name": _CONFIG_DIR,
    "-cp": _CONFIG_DIR,
    "--config-path": _CONFIG_DIR,
    "--hydra-help": "use --help; key=value follows Hydra's grammar of overrides",
}


@dataclass(frozen=True, slots=True)
class Request:
    """The arguments that the user typed.

    `show` is None for a run, or the part that `--cfg` prints.
    """

    overrides: tuple[str, ...]
    config_dirs: tuple[Path, ...] = ()
    show: str | None = None
    resolve: bool = False
    package: str | None = None


def read_arguments(argv: Sequence[str]) -> Request:
    """Return the request.

    Raises SystemExit after `--help` and `--version` and for unknown flags; UserError for flags of
    Hydra's that sweep does not have, for flags that would have no effect, and for an empty folder.
    """
    parser = _parser()
    if not argv:
        parser.error("say what to run, such as +experiment=quickstart; --help lists what there is")
    if faults := [Fault(name, _OF_HYDRA[name]) for name in (word.split("=")[0] for word in argv) if name in _OF_HYDRA]:
        raise UserError(faults)
    if set(argv) & set(_HELP):
        parser.epilog = f"{parser.epilog}\n{_own_help(parser, argv)}".rstrip()
    found = parser.parse_intermixed_args(argv)
    if faults := list(_flag_faults(found)):
        raise UserError(faults)
    return Request(
        overrides=tuple(found.overrides),
        config_dirs=tuple(map(expanded, found.config_dir)),
        show=found.cfg,
        resolve=found.resolve,
        package=found.package,
    )


def _flag_faults(found: argparse.Namespace) -> Iterator[Fault]:
    if "" in found.config_dir:
        yield Fault("--config-dir", "is empty, but must be a folder of your own")
    if found.cfg in ("hydra", "all"):
        rule = f"is {found.cfg}, but must be job: sweep does not use Hydra's own settings, so there are none to print"
        yield Fault("--cfg", rule)
    if found.cfg is None and found.resolve:
        yield Fault("--resolve", "has no effect without --cfg; write --cfg job --resolve to print the config")
    if found.cfg is None and found.package is not None:
        rule = f"is {found.package}, but has no effect without --cfg"
        yield Fault("--package", f"{rule}; write --cfg job --package {found.package} to print that part of the config")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sweep", usage=_USAGE, epilog=_help_tail(), formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Search the hyperparameters of a parameter-efficient text classifier.",
    )  # fmt: skip
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="any config value, in Hydra's grammar")
    parser.add_argument(
        "--config-dir", "-cd", action="append", default=[], metavar="DIR", help="a folder of your own configs"
    )
    parser.add_argument(
        "--cfg", "-c", choices=("job", "hydra", "all"), metavar="job", help="print the composed config and stop"
    )
    parser.add_argument("--resolve", action="store_true", help="with --cfg: interpolations filled in")
    parser.add_argument("--package", "-p", metavar="KEY", help="with --cfg: only this part")
    parser.add_argument("--version", action="version", version=_version())
    return parser


def _help_tail() -> str:
    groups = sorted(path for path in conf_dir().iterdir() if path.is_dir())
    lines = [f"  {group.name:<11} {', '.join(sorted(file.stem for file in group.glob('*.yaml')))}" for group in groups]
    spaces = ", ".join(sorted(file.stem for file in sweeps_dir().glob("*.yaml")))
    return "\n".join(
        [
            "commands (each has its own --help; nothing is trained):",
            listing(),
            "\nconfig groups (GROUP=NAME; an experiment is added: +experiment=NAME):",
            *lines,
            f"\nsearch spaces (study.space=NAME, or a path ending in .yaml):\n  {spaces}\n",
            _EXAMPLES,
        ]
    )


def _own_help(parser: argparse.ArgumentParser, argv: Sequence[str]) -> str:
    """Return the lines of `--help` on the files of the user's own folders."""
    found, _ = parser.parse_known_intermixed_args([word for word in argv if word not in _HELP])
    lines = []
    for folder in map(expanded, found.config_dir):
        groups: dict[str, list[str]] = {}
        for file in sorted(folder.glob("*/*.yaml")):
            groups.setdefault(file.parent.name, []).append(file.stem)
        named = [
            f"  {'study.space' if group == 'sweeps' else group:<11} {', '.join(names)}"
            for group, names in groups.items()
        ]
        lines += ["", f"in {folder}:", *(named or ["  no GROUP/NAME.yaml"])]
    return "\n".join(lines)


def _version() -> str:
    from importlib import metadata

    try:
        return f"sweep {metadata.version('sweep')}"
    except metadata.PackageNotFoundError:
        return "sweep (not installed)"
