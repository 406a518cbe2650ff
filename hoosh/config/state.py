"""Where the house keeps what must outlive it: `$HOOSH_STATE_DIR`, else `$XDG_STATE_HOME/hoosh`, else
`~/.local/state/hoosh`.

Nothing is created or opened here.  A variable that is empty counts as not set; an `XDG_STATE_HOME` that is not
absolute is ignored, as its specification demands.  Sources: product section 2; XDG Base Directory Specification 0.8.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hoosh.config.secrets import path_from
from hoosh.errors import ConfigError

__all__ = ["MEMORY", "SQLITE", "STORE_FILE", "state_directory", "store_path", "store_url"]

MEMORY = "memory:"
SQLITE = "sqlite:///"
"""A file's path follows: `sqlite:////var/lib/hoosh.db`, or `sqlite:///hoosh.db` beside the configuration."""
STORE_FILE = "hoosh.db"
_LATER = ("postgresql:", "postgres:", "redis:", "rediss:")


def state_directory(environ: Mapping[str, str]) -> Path:
    """Absolute.  Raises ConfigError where nobody says where it could be."""
    if own := environ.get("HOOSH_STATE_DIR"):
        return path_from(own, Path.cwd())
    xdg = environ.get("XDG_STATE_HOME", "")
    if xdg.startswith("/"):
        return Path(xdg) / "hoosh"
    if home := environ.get("HOME"):
        return Path(home).absolute() / ".local" / "state" / "hoosh"
    try:
        return Path.home() / ".local" / "state" / "hoosh"
    except RuntimeError:
        raise ConfigError(["the state directory: this user has no home; set HOOSH_STATE_DIR to a directory"]) from None


def store_path(environ: Mapping[str, str]) -> Path:
    """The file of books that `serve` keeps where `[storage].url` says nothing."""
    return state_directory(environ) / STORE_FILE


def store_url(text: str, folder: Path) -> tuple[str, str]:
    """The URL of a store with its path made absolute from `folder`, or what is wrong with it.

    The text is never repeated: the URL of a database may hold a password.
    """
    right = "write sqlite:///PATH, or memory:"
    if text in ("", MEMORY):
        return text, ""
    if text.casefold().startswith(_LATER):
        return "", f"this version of hoosh cannot do that yet; {right}"
    path = text.removeprefix(SQLITE)
    if path == text:
        return "", f"is not the address of a store; {right}"
    if path in ("", ":memory:") or path.endswith("/"):
        return "", f"names no file; {right}"
    if not path.isprintable() or "?" in path or "#" in path:
        return "", f"holds signs that the path of a store cannot have; {right}"
    return f"{SQLITE}{path_from(path, folder)}", ""
