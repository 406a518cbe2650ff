"""From `[storage].url` to a store.

    ""                       `hoosh.db` where the house keeps its state; in memory where it keeps none
    memory:                  forgotten with the process
    sqlite:////var/hoosh.db  what follows `sqlite:///` is the path, word for word: this one is absolute
    sqlite:///hoosh.db       relative to the working directory; in a configuration file, to the file's

Nothing is opened here: `Store.run` does that.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from hoosh.errors import StorageError
from hoosh.storage.contract import Store
from hoosh.storage.memory import MemoryStore
from hoosh.storage.settings import Storage
from hoosh.storage.sqlite import SqliteStore

__all__ = ["open_store"]

_POSSIBLE = "Possible are `memory:`, `sqlite:////absolute/path.db` and `sqlite:///relative/path.db`."
_LATER = ("postgresql:", "postgres:", "redis:", "rediss:", "valkey:")


def open_store(settings: Storage, *, default: Path | None = None, now: Callable[[], float] = time.time) -> Store:
    """The store that `settings` ask for; "" is SQLite at `default`, if there is one.  Raises StorageError."""
    path = _path(settings.url, default)
    if path is None:
        return MemoryStore(durability=settings.durability, now=now)
    return SqliteStore(path, durability=settings.durability, now=now)


def _path(url: str, default: Path | None) -> Path | None:
    if url == "":
        return default
    if url == "memory:":
        return None
    if url.startswith("sqlite:///"):
        path = url.removeprefix("sqlite:///")
        if path.strip("/.") and not path.endswith("/") and "\0" not in path:
            return Path(path)
    if url.lower().startswith(_LATER):
        # Not repeated: such a URL holds a password.
        raise StorageError(f"[storage].url: PostgreSQL and Redis come with a later version. {_POSSIBLE}")
    raise StorageError(f"[storage].url cannot be understood. {_POSSIBLE}")
