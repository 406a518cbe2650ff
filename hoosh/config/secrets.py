"""How a secret is written: literally, or where to find it.

api_key = "$OPENAI_API_KEY"            the whole value is a variable
authorization = "Bearer ${TOKEN}"      variables inside a value
api_key = "file:openai.key"            a file, without its last line break; relative to the configuration
api_key = "$$literal"                  a literal that begins with a dollar sign
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from hoosh.values.secret import Secret

__all__ = ["SecretMissing", "expand", "path_from"]

_WHOLE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")
_INSIDE = re.compile(r"\$\{([^}]*)\}")
_MAX_FILE_BYTES = 64 * 1024


class SecretMissing(Exception):
    """The text is what is wrong and what would be right.  It never holds the secret."""


def expand(text: str, environ: Mapping[str, str], folder: Path) -> Secret:
    """The secret that `text` stands for.  Reads a file for `file:`.  Raises SecretMissing."""
    if text.startswith("$$"):
        secret = text[1:]
    elif text.startswith("file:"):
        secret = _read(text.removeprefix("file:"), folder)
    elif whole := _WHOLE.fullmatch(text):
        secret = _variable(whole[1], environ)
    else:
        secret = _INSIDE.sub(lambda found: _variable(found[1], environ), text)
    if not secret:
        raise SecretMissing("is empty; give a key, $VARIABLE or file:PATH")
    if not secret.isascii() or not secret.isprintable():
        raise SecretMissing("holds a line break or another sign that cannot travel in an HTTP header")
    return Secret(secret)


def _variable(name: str, environ: Mapping[str, str]) -> str:
    if not _WHOLE.fullmatch(f"${name}"):
        raise SecretMissing("holds ${...} around something that is no variable name; write ${NAME}")
    value = environ.get(name, "").strip()
    if not value:
        state = "set, but empty" if name in environ else "not set"
        raise SecretMissing(f"the environment variable {name} is {state}; set it (export {name}=...)")
    return value


def path_from(text: str, folder: Path) -> Path:
    """A path as somebody wrote it: `~` is home, and a relative one starts at the configuration's `folder`."""
    try:
        return (folder / Path(text).expanduser()).absolute()
    except RuntimeError:  # ~somebody who is not there
        return (folder / text).absolute()


def _read(text: str, folder: Path) -> str:
    path = path_from(text, folder)
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a possible path"
        raise SecretMissing(f"the file {path} cannot be read ({reason}); create it or change the path") from None
    if len(data) > _MAX_FILE_BYTES:
        raise SecretMissing(f"the file {path} is too large to be a key")
    return data.decode("latin-1").strip()
