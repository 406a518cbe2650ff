"""The last whole look, on the disk: a gateway that starts again knows its machine at once.

One file, owner-only, replaced as a whole.  It is believed by the machine, the boot and the switched-off backends it was
written under, and for `cache_ttl_secs`; a file that is damaged, foreign or somebody else's counts as none.

Blocks; for worker threads.  Source: reference section 11.1 for the place.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Collection, Mapping
from pathlib import Path
from secrets import token_hex

import msgspec
from msgspec import Struct

from hoosh.hardware.root import Root
from hoosh.hardware.sight import Sight

__all__ = ["KeptSight", "place_of"]

FILE_BYTES = 1024 * 1024
VERSION = 1


class _Page(Struct, frozen=True):
    key: str
    sight: Sight


def place_of(environ: Mapping[str, str]) -> Path | None:
    """`hoosh/hardware.json` in `$XDG_CACHE_HOME`, else in `~/.cache`; None where the user has no home.

    Not in `/tmp`, where others could put one.
    """
    cache, home = environ.get("XDG_CACHE_HOME", ""), environ.get("HOME", "")
    if cache.startswith("/"):
        return Path(cache) / "hoosh" / "hardware.json"
    return Path(home) / ".cache" / "hoosh" / "hardware.json" if home.startswith("/") else None


class KeptSight:
    """The file at `path`, for the machine of `root`."""

    def __init__(self, path: Path, root: Root) -> None:
        self._path = path
        self._root = root

    def read(self, disabled: Collection[str], *, now: float, ttl_s: float) -> Sight | None:
        """None where there is none to be believed.  Never raises."""
        try:
            page = msgspec.json.decode(self._bytes(), type=_Page)
        except (OSError, ValueError, RecursionError):
            return None
        age_s = now - page.sight.looked_at
        return page.sight if page.key == self._key(disabled) and 0 <= age_s < ttl_s else None

    def write(self, sight: Sight, disabled: Collection[str]) -> None:
        """Raises OSError; what there was is still there then."""
        data = msgspec.json.encode(_Page(self._key(disabled), sight))
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self._path.with_name(f".{self._path.name}.{token_hex(8)}")
        file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(file, "wb") as open_file:
                open_file.write(data)
            os.replace(draft, self._path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise

    def _bytes(self) -> bytes:
        """Raises OSError, also where it is not an ordinary file of our own."""
        file = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(file, "rb") as open_file:
            facts = os.fstat(file)
            if not stat.S_ISREG(facts.st_mode) or facts.st_uid != os.geteuid() or facts.st_size > FILE_BYTES:
                raise OSError("not ours")
            return open_file.read(FILE_BYTES)

    def _key(self, disabled: Collection[str]) -> str:
        boot = self._root.text("/proc/sys/kernel/random/boot_id") or ""
        host = self._root.text("/proc/sys/kernel/hostname") or ""
        facts = (str(VERSION), host, boot, *sorted(disabled))
        return hashlib.sha256("\0".join(facts).encode()).hexdigest()
