"""Folders for files that must not outlive their process: locked while it lives, swept up by the next when it is gone.

These functions block.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
from pathlib import Path

__all__ = ["LOCK", "PREFIX", "make_folder", "sweep"]

PREFIX = "hoosh-uploads"
LOCK = "lock"


def make_folder(base: Path) -> tuple[Path, int]:
    """A folder of this process alone, and its lock.  Blocks; raises OSError.

    It gets its name when it has its lock: one of that name without a lock would be taken for an abandoned one.
    """
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = f"{PREFIX}-{os.getuid()}-{os.urandom(8).hex()}"
    unlocked, folder = base / f".{name}", base / name
    unlocked.mkdir(mode=0o700)
    try:
        lock = os.open(unlocked / LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            unlocked.rename(folder)
        except BaseException:
            os.close(lock)
            raise
    except BaseException:  # a disk that is full, or without locks
        shutil.rmtree(unlocked, ignore_errors=True)
        raise
    return folder, lock


def sweep(base: Path) -> int:
    """Remove the folders in `base` whose process is gone.  Returns how many.  Blocks; what cannot be read stays.

    A base that others may write to (/tmp) can hold anything: only real folders of our own user are looked into.
    """
    swept = 0
    try:
        found = [entry for entry in os.scandir(base) if entry.name.startswith(f"{PREFIX}-{os.getuid()}-")]
    except OSError:
        return 0
    for entry in found:
        try:
            about = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(about.st_mode) and about.st_uid == os.getuid() and _is_abandoned(Path(entry.path)):
                shutil.rmtree(entry.path)
                swept += 1
        except OSError:
            continue
    return swept


def _is_abandoned(folder: Path) -> bool:
    """Nobody holds its lock.  Raises OSError where it has none."""
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True
