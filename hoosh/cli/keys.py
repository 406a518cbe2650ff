"""`hoosh-trio keys new`: a fresh key, shown once, and the block of configuration that knows it by its digest.

The key is 256 random bits in URL-safe letters behind a prefix by which people, and programs that look for leaked
keys, know it.  It is written nowhere but to stdout: whoever loses it makes another.
"""

from __future__ import annotations

import argparse
import json
import re
from typing import Any

from hoosh.cli.actions import add_actions
from hoosh.cli.failure import WRONG_USAGE, Failure
from hoosh.cli.parsers import add_command

__all__ = ["add_to", "new_key", "run"]

KEY_BYTES = 32
PREFIX = "sk-hoosh-"
DEFAULT_NAME = "somebody"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 @._-]{0,63}")
_PREFIX = re.compile(r"[A-Za-z0-9._-]{0,32}")


def add_to(commands: Any) -> None:
    actions = add_actions(
        commands,
        "keys",
        help="make keys that clients authenticate with",
        description="Make keys that clients authenticate with.",
        examples=("hoosh-trio keys new --name ada",),
    )
    new = add_command(
        actions,
        "new",
        help="print a fresh key, and the [[keys]] block for it",
        description=(
            "Print a fresh key, once, and the [[keys]] block to paste into hoosh.toml.  The block holds the key's "
            "SHA-256 digest only, and the key itself is kept nowhere: hand it on now."
        ),
        examples=("hoosh-trio keys new --name ada",),
    )
    new.add_argument("--name", default=DEFAULT_NAME, help="whose key it is, as logs and costs show it")
    new.add_argument("--prefix", default=PREFIX, help=f"how the key begins (default: {PREFIX})")
    new.add_argument("--json", action="store_true", help="print name, key and digest as JSON")
    new.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    if not _NAME.fullmatch(arguments.name):
        raise Failure("--name: use up to 64 letters, digits, blanks, `@`, `.`, `_`, `-`", exit_code=WRONG_USAGE)
    if not _PREFIX.fullmatch(arguments.prefix):
        raise Failure("--prefix: use up to 32 letters, digits, `.`, `_`, `-`", exit_code=WRONG_USAGE)
    key, digest = new_key(arguments.prefix)
    if arguments.json:
        print(json.dumps({"name": arguments.name, "key": key, "digest": digest}))
        return 0
    print(f"{key}\n\nThis key is shown once.  Let the gateway know it: add to hoosh.toml\n")
    print(f'[[keys]]\nname = "{arguments.name}"\nkey = "{digest}"')
    return 0


def new_key(prefix: str = PREFIX) -> tuple[str, str]:
    """A key nobody has had before, and the `sha256:HEX` that stands for it in a configuration."""
    import hashlib
    import secrets

    key = prefix + secrets.token_urlsafe(KEY_BYTES)
    return key, f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"
