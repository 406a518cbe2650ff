"""`hoosh-trio migrate litellm FILE`: another gateway's configuration as a hoosh.toml.

The result goes to stdout or a file, what is not the same there to stderr and into comments.  It is loaded once before
it is given away: whatever is written is a configuration that hoosh takes.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hoosh.cli.actions import add_actions
from hoosh.cli.failure import FAILED, Failure
from hoosh.cli.parsers import add_command

if TYPE_CHECKING:
    from hoosh.migration import Migrated

__all__ = ["add_to", "run"]

EXPLANATION = """\
Write a LiteLLM proxy's config.yaml as a hoosh.toml.

What has no counterpart, or means something else, is told on stderr with its line and stands in the comment at the top
of the result.  Keys out of the environment stay there (`os.environ/NAME` is `$NAME`).

Exits 0 when the result is written, 1 when it could not be (or, with --strict, when there was something to tell), and
2 on wrong usage.  Reading YAML needs PyYAML: pip install 'hoosh-trio[migrate]'
"""
LITELLM_EXAMPLE = "hoosh-trio migrate litellm config.yaml -o hoosh.toml"


def add_to(commands: Any) -> None:
    actions = add_actions(
        commands,
        "migrate",
        help="turn another gateway's configuration into one for hoosh",
        description="Turn another gateway's configuration into one for hoosh.",
        examples=(LITELLM_EXAMPLE,),
    )
    litellm = add_command(
        actions,
        "litellm",
        help="a LiteLLM proxy's config.yaml",
        description=EXPLANATION,
        examples=(LITELLM_EXAMPLE, "hoosh-trio migrate litellm config.yaml --strict > hoosh.toml"),
    )
    litellm.add_argument("file", metavar="FILE", help="the config.yaml; `-` reads stdin")
    litellm.add_argument("-o", "--output", metavar="FILE", help="write here, to a file that does not exist yet")
    litellm.add_argument("--strict", action="store_true", help="exit 1 when something is not the same in hoosh")
    litellm.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from hoosh.migration import NotReadable, migrate_litellm, read_yaml

    source = "stdin" if arguments.file == "-" else arguments.file
    try:
        document = read_yaml(_text_of(arguments.file))
    except NotReadable as error:
        raise Failure(f"{source}: {error}") from None
    migrated = migrate_litellm(document, os.environ, source=source)
    _check(migrated, source)
    for remark in migrated.remarks:
        print(f"{source}: {remark}", file=sys.stderr)
    _write(migrated.toml, arguments.output)
    return FAILED if arguments.strict and migrated.remarks else 0


def _text_of(file: str) -> str:
    from hoosh.migration.document import MAX_FILE_BYTES

    try:
        if file == "-":
            data = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
        else:
            with Path(file).open("rb") as opened:
                data = opened.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise Failure(f"{file}: cannot be read ({error.strerror}); check the path") from None
    if len(data) > MAX_FILE_BYTES:
        raise Failure(f"{file}: is larger than {MAX_FILE_BYTES} bytes; this is not a configuration")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Failure(f"{file}: is not UTF-8 text") from None


def _check(migrated: Migrated, source: str) -> None:
    """Every variable is taken for set: whoever migrates need not have the keys."""
    from hoosh.config import loads
    from hoosh.errors import ConfigError

    try:
        loads(migrated.toml, "hoosh.toml", {name: f"value-of-{name}" for name in migrated.variables})
    except ConfigError as error:
        mistakes = "\n".join(f"  {mistake}" for mistake in error.mistakes)
        raise Failure(f"{source}: what it says makes no configuration of hoosh's:\n{mistakes}") from None


def _write(toml: str, output: str | None) -> None:
    if output is None:
        sys.stdout.write(toml)
        return
    try:
        # It may hold keys that were written out; and what is there already may be somebody's work.
        with open(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(toml)
    except FileExistsError:
        raise Failure(f"{output}: is there already; choose another name, or remove it first") from None
    except OSError as error:
        raise Failure(f"{output}: cannot be written ({error.strerror})") from None
