"""What happens in the house, told to whoever wants to know: log, events, and the audit trail where there is one.

Nothing here waits.
"""

from __future__ import annotations

from hoosh.audit import Level
from hoosh.budget import PoolState
from hoosh.config.address import shown_url
from hoosh.events import (
    AuditEntry,
    BreakerChanged,
    Bus,
    GatewayStarted,
    GatewayStopping,
    HealthChanged,
    PoolLow,
    PoolSpent,
    RequestsCancelled,
)
from hoosh.gateway.fleet import Fleet, HttpUpstream
from hoosh.gateway.trail import AuditTrail
from hoosh.health import Change
from hoosh.observe.logs import AccessLog

__all__ = ["Herald"]

EVENT_NAME_CHARS = 200
"""Of a model: clients may ask for any name."""


class Herald:
    """`trail` is None while the owner keeps none."""

    def __init__(self, log: AccessLog, events: Bus, fleet: Fleet) -> None:
        self.trail: AuditTrail | None = None
        self._log = log
        self._events = events
        self._fleet = fleet
        self._has_said_goodbye = False

    def note(self, event: str, level: Level, message: str, **facts: str | int) -> None:
        """Something has happened that the owner may want proven.  What he has done himself is told, too."""
        if event.startswith("admin."):
            self._events.publish(AuditEntry(event, level, message, facts))
        if self.trail is not None:
            self.trail.note(event, level, message, provider=None, model=None, **facts)

    def hello(self, version: str) -> None:
        self._events.publish(GatewayStarted(version))

    def goodbye(self, in_flight: int) -> None:
        """Said once."""
        if not self._has_said_goodbye:
            self._has_said_goodbye = True
            self._events.publish(GatewayStopping(in_flight))

    def cancelled(self, event: str, level: Level, message: str, **facts: str | int) -> None:
        """The owner has ended running requests."""
        self.note(event, level, message, **facts)
        self._events.publish(RequestsCancelled(int(facts["requests"]), str(facts["by"])))

    def health_changed(self, change: Change) -> None:
        """An upstream is no longer asked, or is again."""
        is_well, what = change.to in ("closed", "healthy"), "health" if change.model is None else "breaker"
        facts = {"upstream": change.provider, "from": change.from_, "to": change.to, "reason": change.reason}
        if change.model is not None:
            facts["asked"] = change.model
        (self._log.info if is_well else self._log.warning)(f"an upstream's {what} has changed", room="health", **facts)
        self._publish_change(change, is_well)
        self.note(f"provider.{what}", "info" if is_well else "warn", f"An upstream's {what} has changed.", **facts)

    def _publish_change(self, change: Change, is_well: bool) -> None:
        if change.model is None:
            upstream = self._fleet.members.get(change.provider)
            url = shown_url(upstream.base_url) if isinstance(upstream, HttpUpstream) else ""
            self._events.publish(HealthChanged(change.provider, url, is_well, change.reason))
        else:
            model = change.model[:EVENT_NAME_CHARS]
            self._events.publish(BreakerChanged(change.provider, model, change.from_, change.to, change.reason))

    def pool_low(self, pool: PoolState) -> None:
        """It has passed 80 or 100 per cent of what it has."""
        word = "is spent" if pool.available == 0 else "runs low"
        facts: dict[str, str | int] = {
            "pool": pool.name,
            "unit": pool.unit,
            "used": pool.used,
            "capacity": pool.capacity or 0,
        }
        self._log.warning(f"a budget {word}", room="budget", **facts)
        kind = PoolSpent if pool.available == 0 else PoolLow
        self._events.publish(kind(pool.name, pool.unit, pool.used, pool.capacity or 0))
        self.note("budget.low", "warn", f"A budget {word}.", **facts)
