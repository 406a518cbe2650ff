"""What this machine can carry: the last look at it, for the doors, for metrics and for routing.

A service looks in the background, so that no start waits for a driver: what the disk has kept of the last look counts
at once, then comes a glance or a whole look.  From then on a glance every `refresh_interval_secs`, and a whole look
once the last is older than `cache_ttl_secs`.

    nothing ──kept on the disk──▶ inventory ──glance──▶ inventory ──…
       └──────────whole look──────────▲  └──too old, or other backends──▶ whole look

Whatever goes wrong with a look is a line of the log, and the last inventory stays.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from time import time
from typing import TYPE_CHECKING, NoReturn, Protocol, TypeVar

import trio

from hoosh.errors import Unavailable
from hoosh.hardware import Hardware as Settings
from hoosh.values import words_of
from hoosh.values.hardware import Environment, Inventory

if TYPE_CHECKING:
    from hoosh.hardware.kept import KeptSight
    from hoosh.hardware.sight import Sight

__all__ = ["Eyes", "Hardware", "Looks", "Says", "eyes_for", "look_once", "ready"]

T = TypeVar("T")

WAIT_S = 5.0
"""The longest that a request waits for the first look."""
WHOLE_S = 300.0
"""Between two whole looks where none is kept on the disk."""
NOTHING = Inventory(devices=(), system_memory_bytes=0, environment=Environment())
"""What is known where nobody is to look."""


class Looks(Protocol):
    """Looks at a machine; see `hoosh.hardware.Detection`."""

    async def look(self, disabled: tuple[str, ...] = ...) -> Sight: ...

    async def glance(self, before: Sight) -> Sight: ...


Eyes = Callable[[], "Awaitable[tuple[Looks, KeptSight | None]]"]
"""Who looks, and the look on the disk, None where there is none to be.  Asked once."""


class Says(Protocol):
    """The log."""

    def info(self, message: str, *, room: str = ..., **fields: object) -> None: ...

    def warning(self, message: str, *, room: str = ..., **fields: object) -> None: ...


class Hardware:
    """The last look at the machine.  `run` is a service; without it nobody looks."""

    def __init__(
        self,
        settings: Settings = Settings(),  # noqa: B008  # frozen
        eyes: Eyes | None = None,
        log: Says | None = None,
        *,
        wall_s: Callable[[], float] = time,
    ) -> None:
        self.settings = settings
        self.reserve_bytes = settings.vram_reserve_bytes
        """Of accelerator memory, that nobody may plan with."""
        self.inventory: Inventory | None = None
        """None until the first look is over, and where nobody is to look."""
        self._eyes = eyes
        self._looks: Looks | None = None
        self._kept: KeptSight | None = None
        self._log = log
        self._wall_s = wall_s
        self._limiter = trio.CapacityLimiter(1)
        self._sight: Sight | None = None
        self._said: tuple[str, ...] = ()
        """The warnings that the log has already."""
        self._first = trio.Event()
        self._changed = trio.Event()

    def configure(self, settings: Settings) -> None:
        """From now on these count.  With other backends the machine is looked at anew, at once."""
        before = self.settings
        self.settings, self.reserve_bytes = settings, settings.vram_reserve_bytes
        if (settings.enabled, settings.disabled_backends) != (before.enabled, before.disabled_backends):
            self._sight = self.inventory = None
            if self._first.is_set():  # else those that wait for it go on waiting for the same
                self._first = trio.Event()
        self._changed.set()

    async def look(self) -> Inventory:
        """The last look; waits for the first one.  Raises Unavailable when that takes more than WAIT_S."""
        if not self.settings.enabled:
            return NOTHING
        if self.inventory is None:
            with trio.move_on_after(WAIT_S):
                await self._first.wait()
        if self.inventory is None:
            raise Unavailable("The machine is still being looked at.", retry_after_s=WAIT_S)
        return self.inventory

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Look for as long as it runs.  Ready at once."""
        task_status.started()
        while True:
            self._changed = trio.Event()
            if self.settings.enabled and self._eyes is not None:
                await self._carefully(self._eyes)
            interval_s = self.settings.refresh_interval_secs if self.settings.enabled else 0
            with trio.move_on_after(interval_s or math.inf):
                await self._changed.wait()

    async def _carefully(self, eyes: Eyes) -> None:
        try:
            if self._looks is None:
                self._looks, self._kept = await eyes()
            await self._look(self._looks)
        except Exception as bug:  # a machine that cannot be understood must not end the house
            if self._log is not None:
                self._log.warning("the machine could not be looked at", room="hardware", error=words_of(bug))

    async def _look(self, looks: Looks) -> None:
        settings, sight, is_new = self.settings, self._sight, False
        if sight is None:
            sight = await self._read_kept(settings)
            self._show(sight, settings)
        if sight is None or self._is_old(sight, settings):
            sight, is_new = await looks.look(settings.disabled_backends), True
        else:
            sight = await looks.glance(sight)
        if self._show(sight, settings) and is_new and sight.is_sound:
            await self._keep(sight, settings)

    def _show(self, sight: Sight | None, settings: Settings) -> bool:
        """To everybody, unless it was asked for under settings that count no more."""
        if sight is None or settings.disabled_backends != self.settings.disabled_backends or not self.settings.enabled:
            return False
        self._sight, self.inventory = sight, sight.inventory()
        self._first.set()
        self._tell(self.inventory)
        return True

    def _is_old(self, sight: Sight, settings: Settings) -> bool:
        """By the wall clock, which may be set back: then it is."""
        return not 0 <= self._wall_s() - sight.looked_at < (settings.cache_ttl_secs or WHOLE_S)

    def _tell(self, inventory: Inventory) -> None:
        """The log, of what it has not been told yet."""
        if self._log is not None:
            for warning in inventory.warnings:
                if warning not in self._said:
                    self._log.warning("hardware not understood", room="hardware", what=warning)
        self._said = inventory.warnings

    # -- the look on the disk --------------------------------------------------------------------------------------

    async def _read_kept(self, settings: Settings) -> Sight | None:
        if self._kept is None or not settings.cache_ttl_secs:
            return None
        read = partial(
            self._kept.read, settings.disabled_backends, now=self._wall_s(), ttl_s=float(settings.cache_ttl_secs)
        )
        return await self._in_thread(read)

    async def _keep(self, sight: Sight, settings: Settings) -> None:
        if self._kept is None or not settings.cache_ttl_secs:
            return
        write = partial(self._kept.write, sight, settings.disabled_backends)
        try:
            await self._in_thread(write)
        except OSError as error:  # a file system that is read-only, for one
            if self._log is not None:
                self._log.info("hardware not kept on the disk", room="hardware", error=error.strerror or "")

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await trio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=self._limiter)


async def eyes_for(environ: Mapping[str, str]) -> tuple[Looks, KeptSight | None]:
    """For this machine, and where its last look is kept."""
    return await trio.to_thread.run_sync(_load, environ, abandon_on_cancel=True)


async def ready(looks: Looks) -> tuple[Looks, None]:
    """Eyes that are open already, and keep nothing on the disk."""
    return looks, None


def _load(environ: Mapping[str, str]) -> tuple[Looks, KeptSight | None]:
    """Loads what looking needs: 20 ms."""
    from hoosh.hardware.detection import Detection
    from hoosh.hardware.kept import KeptSight, place_of
    from hoosh.hardware.machine import Machine

    machine, place = Machine(environ=environ), place_of(environ)
    return Detection(machine), None if place is None else KeptSight(place, machine.root)


async def look_once(disabled: tuple[str, ...], environ: Mapping[str, str]) -> Inventory:
    """A whole look, now; for the command line."""
    looks, _ = await eyes_for(environ)
    return (await looks.look(disabled)).inventory()
