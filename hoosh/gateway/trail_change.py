"""Another `[audit]` for a gateway that runs.

    off ─▶ on    the end of the log is found beforehand; once the configuration is taken the chain goes on behind it
    on ─▶ on     other settings; another key goes on behind an entry in which the one before hands over
    on ─▶ off    all that has happened and a last entry are sealed, and the end is signed

Whoever tells the trail something looks for it in the gateway each time, and the change itself does not wait: what
happened before it is in the chain before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from hoosh.audit import Audit
from hoosh.errors import ConfigError, StorageError
from hoosh.gateway.steps import Step
from hoosh.gateway.trail import AuditTrail, trail_in

if TYPE_CHECKING:
    from hoosh.gateway.gateway import Gateway

__all__ = ["TrailChange"]

SETTLE_WITHIN_S = 5.0


class TrailChange:
    """`prepare`, then `step` is taken, then `settle`; or `withdraw`, whatever has been reached."""

    def __init__(self, gateway: Gateway, settings: Audit, by: str) -> None:
        """`by` is who wants it."""
        self._gateway = gateway
        self._settings = settings
        self._by = by
        self._is_new = settings != gateway.snapshot.config.audit
        self._old = gateway.trail
        self._trail: AuditTrail | None = None
        """The one that is to begin."""

    async def prepare(self) -> None:
        """Raises ConfigError for settings that cannot be taken, also where that is the log's fault."""
        gateway, settings = self._gateway, self._settings
        if not settings.enabled:
            return
        if self._old is not None:
            self._old.require(settings)
            return
        self._trail = trail_in(gateway.store, settings, gateway.books.now_ms)
        try:
            await self._trail.find_end()
        except StorageError as error:
            raise ConfigError([f"[audit] enabled: the log cannot go on.  {error}"]) from error

    @property
    def step(self) -> Step:
        """To be taken last: what a chain says stays said."""
        return Step("audit", self._take, lambda: self._gateway.keep_trail(self._old))

    def _take(self) -> None:
        old, new = self._old, self._trail
        if self._is_new:
            self._gateway.flush()  # whose request is over already is told of by the trail that was there
        if new is not None:
            self._gateway.keep_trail(new)
            new.note("audit.enabled", "info", "The audit log was switched on.", by=self._by)
            new.begin()
        elif old is not None and not self._settings.enabled:
            self._gateway.keep_trail(None)
            old.note("audit.disabled", "warn", "The audit log was switched off.", by=self._by)
        elif old is not None and self._is_new:
            old.configure(self._settings)

    async def settle(self, services: trio.Nursery) -> None:
        """The signed end of the log is on the disk.  Waits for that, but not long; whoever is cancelled waits, too."""
        old, new = self._old, self._trail
        if new is not None:
            services.start_soon(new.run)
        with trio.move_on_after(SETTLE_WITHIN_S, shield=True):
            if new is not None:
                await new.sign()
            elif old is not None and not self._settings.enabled:
                await old.close()
            elif old is not None and self._is_new:
                await old.sign()

    async def withdraw(self) -> None:
        """The configuration is not taken: the store is left as it was."""
        if self._trail is None:
            return
        with trio.move_on_after(SETTLE_WITHIN_S, shield=True):
            try:
                await self._trail.withdraw()
            except StorageError as error:
                self._gateway.log.error("the audit log is not as it was", room="audit", error=str(error))
