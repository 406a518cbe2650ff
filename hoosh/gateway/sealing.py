"""Facts become lines of the chain: in time, with the entries that are due between them, under one key after another.

    fact ──▶ [audit.clock_set_back] [audit.checkpoint] its entry

Timestamps are what the clock said, and never fall: a clock that is set back by more than `JITTER_MS` gets an entry of
its own, and time goes on from there.  Nothing here waits; times are Unix milliseconds.
"""

from __future__ import annotations

import logging

from hoosh.audit import Chain, Fact, SigningKey, fact

__all__ = ["Sealer"]

JITTER_MS = 1000


class Sealer:
    """Seals at the end of `chain`, whose last entry says `last_ms`."""

    def __init__(self, chain: Chain, *, checkpoint_every: int, last_ms: int = 0) -> None:
        self.chain = chain
        self.checkpoint_every = checkpoint_every
        self._last_ms = last_ms

    def seal(self, happened: Fact) -> list[bytes]:
        """The fact's entry, and before it those that the chain owes."""
        chain = self.chain
        at_ms, lines = self._in_time(happened.at_ms)
        if (chain.number + 1) % self.checkpoint_every == 0:
            lines.append(chain.seal_checkpoint(at_ms))
            # The process's log goes elsewhere, so this is an anchor for whoever keeps it.
            _logger.info("audit checkpoint %d %s", chain.number, chain.head_hash)
        lines.append(
            chain.seal(
                happened.event,
                happened.level,
                happened.message,
                at_ms,
                provider=happened.provider,
                model=happened.model,
                metadata=happened.metadata,
            )
        )
        return lines

    def hand_over(self, key: SigningKey, now_ms: int) -> list[bytes]:
        """From here on `key` seals: its first entry, for which the one before vouches.

        Where nothing is sealed yet it just begins.
        """
        old = self.chain
        if not old.number:
            self.chain = old.under(key)
            return []
        at_ms, lines = self._in_time(now_ms)
        self.chain = old.under(key)
        return [*lines, self.chain.hand_over(old.key, at_ms)]

    def _in_time(self, at_ms: int) -> tuple[int, list[bytes]]:
        """When the next entry has happened, and the one before it where the clock was set back."""
        lines = []
        back_ms = self._last_ms - at_ms
        if 0 < back_ms <= JITTER_MS:
            at_ms = self._last_ms
        elif back_ms > 0:
            moved = fact(at_ms, "audit.clock_set_back", "warn", "The clock was set back.", {"by_ms": back_ms})
            lines.append(self.chain.seal(moved.event, "warn", moved.message, at_ms, metadata=moved.metadata))
        self._last_ms = at_ms
        return at_ms, lines


_logger = logging.getLogger("hoosh.audit")
