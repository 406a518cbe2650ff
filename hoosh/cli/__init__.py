"""The command line: one file per command, each with `add_to(commands)` and `run(arguments) -> exit code`.

Exit codes: 0 it worked, 1 it failed (one line on stderr says why and what to do), 2 wrong usage, 130 Ctrl-C.
Command modules import nothing heavy at their top, so that `--help` answers at once and `serve` loads only itself.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Sequence

from hoosh import __version__
from hoosh.cli import (
    audit,
    bench,
    check,
    completion,
    costs,
    embed,
    health,
    infer,
    info,
    keys,
    migrate,
    models,
    openapi,
    requests,
    serve,
    speak,
    top,
    transcribe,
    version,
)
from hoosh.cli.failure import Failure
from hoosh.cli.parsers import HelpFormatter

__all__ = ["GROUPS", "build_parser", "main"]

GROUPS = (
    ("run a gateway", (serve, check, keys, migrate)),
    ("ask it", (models, infer, embed, transcribe, speak)),
    ("watch it", (top, health, requests, costs)),
    ("examine", (bench, audit, openapi, info, version, completion)),
)
"""The commands as the help lists them.  Each module has `add_to(commands)`."""

COLUMN = 13


FIRST_STEPS = (
    "Commands that ask a gateway take --server and --key, or read HOOSH_SERVER and HOOSH_API_KEY.",
    "They exit with 0 (it worked), 1 (it failed, and stderr says why) or 2 (wrong usage).",
    "",
    "the first minute:",
    "  hoosh-trio serve              # needs no configuration",
    "  hoosh-trio infer echo hello   # in another terminal",
    "  hoosh-trio COMMAND --help     # tells more, with examples",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit code."""
    try:
        return _run(argv)
    except Failure as failure:
        print(f"hoosh-trio: {failure}", file=sys.stderr)
        return failure.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has seen enough (`| head`).
        _forget_output()
        return 1
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        _forget_output()
        print(f"hoosh-trio: the output is not whole: {error.strerror}", file=sys.stderr)
        return 1


def _forget_output() -> None:
    """Python flushes once more at exit: into nothing, then."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(argv: Sequence[str] | None) -> int:
    parser = build_parser()
    try:
        arguments = parser.parse_args(argv)
    except SystemExit as exit:  # argparse has printed help, version or what is wrong
        return exit.code if isinstance(exit.code, int) else 2
    if arguments.command is None:
        parser.print_help()
        return 0
    code: int = arguments.run(arguments)
    sys.stdout.flush()
    return code


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hoosh-trio",
        usage="hoosh-trio [--version] COMMAND ...",
        description="An AI inference gateway: OpenAI's API in front of local engines and remote providers.",
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"hoosh-trio {__version__}")
    # The list that argparse would print knows no groups; ours is the epilog.
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", prog="hoosh-trio", help=argparse.SUPPRESS, required=False
    )
    listed = 0
    lines: list[str] = []
    for title, members in GROUPS:
        for command in members:
            command.add_to(commands)
        added = commands._choices_actions[listed:]
        listed += len(added)
        lines += [f"{title}:", *(f"  {choice.dest:{COLUMN}}{choice.help}" for choice in added), ""]
    parser.epilog = "\n".join([*lines, *FIRST_STEPS])
    return parser
