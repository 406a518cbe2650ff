"""Has a file been changed?  By looking, once a second: that works on every disk, in containers and over networks.

A change counts once two looks in a row have seen the same: whoever writes in place has finished by then.  A file that
is not there, as it is for a moment while another is moved to its place, is waited for.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NoReturn

import trio

__all__ = ["LOOK_EVERY_S", "Look", "look_at", "watch_file"]

LOOK_EVERY_S = 1.0

Look = tuple[int, int, int] | None
"""When it was changed (ns), its size (bytes) and which file it is; None: it is not there."""


async def watch_file(
    path: Path,
    on_change: Callable[[], Awaitable[object]],
    known: Look,
    *,
    is_wanted: Callable[[], bool] = lambda: True,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> NoReturn:
    """A service: awaits `on_change` after each change of `path` since it was `known`.

    While it is not wanted, nothing counts as one.
    """
    limiter = trio.CapacityLimiter(1)

    async def look() -> Look:
        return await trio.to_thread.run_sync(look_at, path, abandon_on_cancel=True, limiter=limiter)

    last = known
    task_status.started()
    while True:
        await trio.sleep(LOOK_EVERY_S)
        if not is_wanted():
            known = last = None
            continue
        seen = await look()
        if known is None:
            known = seen
        elif seen is not None and seen == last and seen != known:
            known = seen
            await on_change()
        last = seen


def look_at(path: Path) -> Look:
    """Blocks for a moment."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
