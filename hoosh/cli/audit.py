"""`hoosh-trio audit verify FILE` and `audit export FILE`: whoever has the key and the file needs nothing else.

    FILE   a database (`hoosh.db`; a gateway may be writing it), or what `audit export` has printed, or `-` for stdin
    key    as in a configuration, `$VARIABLE` or `file:PATH`; never itself: others can see a command line

Exit codes: 0 the log is as it was written, 1 it is not or cannot be read, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from hoosh.cli.actions import add_actions
from hoosh.cli.failure import FAILED, WRONG_USAGE, Failure
from hoosh.cli.parsers import add_command

if TYPE_CHECKING:
    from hoosh.audit import SigningKey, Verdict

__all__ = ["add_to", "export", "verify"]

DEFAULT_KEY = "$HOOSH_AUDIT_KEY"
LINE_BYTES = 16 * 1024 * 1024
"""No entry is longer."""
PROGRESS_EVERY = 20_000

_MAGIC = b"SQLite format 3\0"
_WHERE = re.compile(r"\$[A-Za-z_][A-Za-z0-9_]*|file:.+", re.DOTALL)
_ANCHOR = re.compile(r"([0-9]{1,15}):([0-9a-f]{64})")


def add_to(commands: Any) -> None:
    actions = add_actions(
        commands,
        "audit",
        help="verify or export an audit log",
        description="Verify or export the audit log in a file; no gateway need be running.",
        examples=(
            "hoosh-trio audit verify --key-file audit.key ~/.local/state/hoosh/hoosh.db",
            "hoosh-trio audit export hoosh.db > audit.jsonl",
        ),
    )
    _add_verify(actions)
    exports = add_command(
        actions,
        "export",
        help="print an audit log as JSON lines, ready to be verified elsewhere",
        description="Print every entry as one line of JSON, with the signed checkpoint.  Needs no key.",
        examples=("hoosh-trio audit export hoosh.db > audit.jsonl",),
    )
    exports.add_argument("file", metavar="FILE", help="the gateway's database, such as hoosh.db")
    exports.set_defaults(run=export)


def _add_verify(actions: Any) -> None:
    parser = add_command(
        actions,
        "verify",
        help="tell whether an audit log is as it was written",
        description="Tell whether an audit log is as it was written; if not, name the first bad entry and exit 1.",
        examples=(
            "hoosh-trio audit verify --key-file audit.key hoosh.db",
            "hoosh-trio audit verify --key '$HOOSH_AUDIT_KEY' - < audit.jsonl",
        ),
    )
    parser.add_argument("file", metavar="FILE", help="the gateway's database, or an export; - reads stdin")
    parser.add_argument(
        "--key",
        action="append",
        metavar="WHERE",
        help="where a signing key is: '$VARIABLE' (in quotes) or file:PATH; repeat it for older keys "
        f"(default: {DEFAULT_KEY})",
    )
    parser.add_argument("--key-file", action="append", metavar="PATH", help="the same as --key file:PATH")
    parser.add_argument(
        "--anchor",
        action="append",
        default=[],
        metavar="NUMBER:HASH",
        help="an entry that was noted elsewhere: the log must hold it",
    )
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON")
    parser.set_defaults(run=verify)


def verify(arguments: argparse.Namespace) -> int:
    import msgspec

    from hoosh.audit import Verifier

    keys, anchors = _keys(arguments), dict(map(_anchor, arguments.anchor))
    verifier = Verifier(keys, anchors=anchors)
    for line in _with_progress(_lines(arguments.file)):
        if not verifier.feed(line):
            break
    verdict = verifier.close()
    if arguments.json:
        print(json.dumps(msgspec.to_builtins(verdict)))
    else:
        print("\n".join(_told(verdict)))
    return 0 if verdict.valid else FAILED


def export(arguments: argparse.Namespace) -> int:
    with _opened(arguments.file) as file:
        if not _is_database(file):
            raise Failure(f"{arguments.file} is no database; export reads the gateway's own, such as hoosh.db")
    for line in _lines(arguments.file):
        sys.stdout.buffer.write(line + b"\n")
    return 0


def _told(verdict: Verdict) -> list[str]:
    """A verdict for a person."""
    entries = f"{verdict.entries} entries"
    if verdict.from_number is not None:
        entries += f", {verdict.from_number} to {verdict.through_number}"
    if not verdict.valid:
        place = "the log as a whole is bad"
        if verdict.first_bad is not None:
            identity = "" if verdict.id is None else f" (id {ascii(verdict.id[:100])[1:-1]})"
            place = f"first bad entry: number {verdict.first_bad}{identity}"
        return [f"{place}: {verdict.reason}", f"good before it: {entries}"]
    lines = [f"valid: {entries}", f"anchor: {verdict.through_number}:{verdict.head}"]
    if verdict.vouched_number < verdict.through_number:
        lines.append(f"the signed checkpoint reaches to entry {verdict.vouched_number}; nobody would miss later ones")
    if verdict.keys_unknown:
        lines.append(f"sealed with keys that were not given, held by later entries: {', '.join(verdict.keys_unknown)}")
    return lines


# -- keys and anchors --------------------------------------------------------------------------------------------------


def _keys(arguments: argparse.Namespace) -> list[SigningKey]:
    """Raises Failure.  No message holds a key."""
    places = [*(arguments.key or ()), *(f"file:{path}" for path in arguments.key_file or ())]
    return [_key(place) for place in places or [DEFAULT_KEY]]


def _key(place: str) -> SigningKey:
    from hoosh.audit import SigningKey
    from hoosh.config.secrets import SecretMissing, expand
    from hoosh.errors import ConfigError

    if not _WHERE.fullmatch(place):
        raise Failure(
            "--key says where a key is: '$VARIABLE', in single quotes, or file:PATH; a key itself would be seen in "
            "the list of processes",
            exit_code=WRONG_USAGE,
        )
    try:
        return SigningKey(expand(place, os.environ, Path.cwd()))
    except SecretMissing as error:
        raise Failure(f"the audit key: {error}; or use --key or --key-file", exit_code=WRONG_USAGE) from None
    except ConfigError as error:
        raise Failure(str(error), exit_code=WRONG_USAGE) from None


def _anchor(text: str) -> tuple[int, str]:
    found = _ANCHOR.fullmatch(text.strip().lower())
    if found is None:
        raise Failure("--anchor: write NUMBER:HASH, the hash in 64 hex digits", exit_code=WRONG_USAGE)
    return int(found[1]), found[2]


# -- lines -------------------------------------------------------------------------------------------------------------


def _lines(name: str) -> Iterator[bytes]:
    """Entries, and behind the one it speaks of the signed checkpoint.  Raises Failure."""
    if name == "-":
        yield from _lines_of(sys.stdin.buffer)
        return
    with _opened(name) as file:
        if not _is_database(file):
            yield from _lines_of(file)
            return
    yield from _lines_of_database(Path(name))


def _lines_of(file: BinaryIO) -> Iterator[bytes]:
    while line := file.readline(LINE_BYTES):
        yield line.rstrip(b"\r\n")


def _lines_of_database(path: Path) -> Iterator[bytes]:
    from hoosh.audit import GENESIS, decode_checkpoint
    from hoosh.errors import StorageError
    from hoosh.storage.reading import rows_of, value_of

    try:
        # First the checkpoint: a gateway that is running may put a newer one down, and then there are more entries.
        stored = value_of(path, "audit", "checkpoint")
        number, cut = GENESIS.number, GENESIS.number
        if stored is not None:
            try:
                checkpoint = decode_checkpoint(stored)
                number, cut = checkpoint.number, checkpoint.cut_number
            except ValueError:  # the verifier says so
                number = sys.maxsize
        is_due = stored is not None
        for row in rows_of(path, "audit"):
            if is_due and row.position > number:
                yield stored or b""
                is_due = False
            if row.position > cut:
                yield row.body
        if is_due:
            yield stored or b""
    except StorageError as error:
        raise Failure(str(error)) from None


def _opened(name: str) -> BufferedReader:
    try:
        return open(name, "rb")
    except (OSError, ValueError) as error:
        raise Failure(f"{name} cannot be read: {getattr(error, 'strerror', None) or 'not a possible path'}") from None


def _is_database(file: BufferedReader) -> bool:
    try:
        return file.peek(len(_MAGIC)).startswith(_MAGIC)  # it may be a pipe
    except OSError as error:
        raise Failure(f"the file cannot be read: {error.strerror}") from None


def _with_progress(lines: Iterator[bytes]) -> Iterator[bytes]:
    """Tell a person how far it is."""
    if not sys.stderr.isatty():
        yield from lines
        return
    try:
        for number, line in enumerate(lines, 1):
            if number % PROGRESS_EVERY == 0:
                print(f"\r{number} entries", end="", file=sys.stderr, flush=True)
            yield line
    finally:
        print("\r\033[K", end="", file=sys.stderr, flush=True)
