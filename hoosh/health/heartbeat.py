"""Who has been heard of lately: one node an account.

    online ──30 s──▶ suspect ──90 s──▶ offline          since the last sign of life, a request's or a probe's success
       ▲                │                 │
       └────────────────┴─────────────────┘              at the next sign, at once: nobody is ever evicted

Where probes are more than 30 s apart, both limits grow in proportion: nobody is suspect for not having been asked.
Whom no probe has asked is `unknown`, not offline, when it has not been heard of.

Source: reference section 10 (limits), 23.8 (what the original's eviction did).  Pure; `now_s` is a monotonic clock.
"""

from __future__ import annotations

from hoosh.values import Node

__all__ = ["Heartbeats"]

ONLINE_S = 30.0
SUSPECT_S = 90.0


class Heartbeats:
    """The last signs of life.  `interval_s` is the time between two probes, 0 where nobody probes."""

    __slots__ = ("_asked", "_scale", "heard_s")

    def __init__(self, interval_s: float) -> None:
        self.heard_s: dict[str, float] = {}
        """By account, when it was last heard of.  Whoever hears of one writes it here."""
        self._asked: set[str] = set()
        """Those that probes ask."""
        self.configure(interval_s)

    def configure(self, interval_s: float) -> None:
        """From now on this is the time between two probes."""
        self._scale = max(1.0, interval_s / ONLINE_S)
        if not interval_s:
            self._asked.clear()

    def asked(self, account: str) -> None:
        """A probe has asked it: from now on its silence says something."""
        self._asked.add(account)

    def forget(self, account: str) -> None:
        self.heard_s.pop(account, None)
        self._asked.discard(account)

    def node(self, account: str, provider: str, now_s: float) -> Node:
        """How `account`, one of `provider`, is doing."""
        heard_s = self.heard_s.get(account)
        age_s = None if heard_s is None else max(0.0, now_s - heard_s)
        return Node(account, provider, self._status(account, age_s), age_s)

    def _status(self, account: str, age_s: float | None) -> str:
        if age_s is not None and age_s < ONLINE_S * self._scale:
            return "online"
        if account not in self._asked:
            return "unknown"
        return "suspect" if age_s is not None and age_s < SUSPECT_S * self._scale else "offline"
