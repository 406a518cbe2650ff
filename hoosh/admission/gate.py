"""The gate: a request goes through all limits of all it belongs to, or through none.

    enter(scopes, tokens) ─┬─▶ Pass ─┬─leave(tokens)──▶ slots given back, the estimate corrected
                           │         └─undo──────────▶ as if it had never come: a budget has refused it
                           └─▶ RateLimited, and then nothing has changed: a refused request costs nothing

Deciding and taking share one synchronous call, so two requests cannot both take the last slot.  Scopes without limits
cost a look-up.  What is known of a scope is kept through `configure` as long as it has a limit; who is inside when
the scope leaves is not counted when it comes back.

`now_s` is a monotonic clock (`trio.current_time()`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from hoosh.admission.headers import Header, limit_headers
from hoosh.admission.meter import Meter, longest
from hoosh.admission.refusal import Scope
from hoosh.admission.settings import Rates
from hoosh.errors import RateLimited

__all__ = ["Gate", "GateStatistics", "Pass", "ScopeStatistics"]


class ScopeStatistics(Struct, frozen=True):
    """One scope's limits, and what counts against them."""

    kind: str
    name: str
    limits: Rates
    requests: int
    tokens: int
    running: int
    refused: int


class GateStatistics(Struct, frozen=True):
    scopes: tuple[ScopeStatistics, ...]
    """Those with a limit."""


class Pass(Struct, eq=False):
    """One request that was let in.  `leave` gives back what it takes."""

    taken: list[tuple[Meter, int]]
    """With the second it was counted in; empty once it has left."""
    tokens: int

    def leave(self, tokens: int | None, now_s: float) -> None:
        """It is over, and came to so many tokens (None: as estimated).  Counts once, however often it is called."""
        difference = 0 if tokens is None else tokens - self.tokens
        for meter, second in self.taken:
            meter.running -= 1
            if difference:
                meter.tokens.correct(second, difference, now_s)
        self.taken = []

    def undo(self, now_s: float) -> None:
        """Somebody else has refused it: as if it had never come."""
        for meter, second in self.taken:
            meter.requests.correct(second, -1, now_s)
        self.leave(0, now_s)


class Gate:
    """All limits of the house."""

    __slots__ = ("_meters",)

    def __init__(self, rates: Mapping[Scope, Rates] | None = None) -> None:
        self._meters: dict[Scope, Meter] = {}
        self.configure(rates or {})

    def configure(self, rates: Mapping[Scope, Rates]) -> None:
        """From now on these are the limits.  Who is inside stays inside, whatever they say."""
        before, self._meters = self._meters, {}
        for scope, limits in rates.items():
            if limits.is_open:
                continue
            meter = before.get(scope)
            if meter is None:
                meter = Meter(scope, limits)
            else:
                meter.limit(limits)
            self._meters[scope] = meter

    def is_limited(self, scope: Scope) -> bool:
        return scope in self._meters

    def enter(self, scopes: Sequence[Scope], tokens: int, now_s: float) -> Pass:
        """Let a request of about `tokens` tokens in.  Raises RateLimited, and then nothing has changed."""
        if len(scopes) > 1:  # named twice it still is one request
            scopes = tuple(dict.fromkeys(scopes))
        taken: list[tuple[Meter, int]] = []
        entered = Pass(taken, tokens)
        for scope in scopes:
            meter = self._meters.get(scope)
            if meter is None:
                continue
            second = meter.admit(tokens, now_s)
            if second is None:
                entered.undo(now_s)
                raise self._refusal(scopes, tokens, now_s)
            taken.append((meter, second))
        return entered

    def headers(self, scope: Scope, now_s: float, *, wall_s: float = 0.0, language: str = "openai") -> list[Header]:
        """What an answer tells of the limits a minute of `scope`.  `wall_s` (Unix time) is for `anthropic` only."""
        meter = self._meters.get(scope)
        return [] if meter is None else limit_headers(meter, now_s, wall_s, language)

    def statistics(self, now_s: float) -> GateStatistics:
        return GateStatistics(
            tuple(
                ScopeStatistics(
                    *meter.scope,
                    Rates(meter.rpm, meter.tpm, meter.max_concurrent),
                    meter.requests.used(now_s),
                    meter.tokens.used(now_s),
                    meter.running,
                    meter.refused,
                )
                for meter in self._meters.values()
            )
        )

    def _refusal(self, scopes: Sequence[Scope], tokens: int, now_s: float) -> RateLimited:
        """Why a request was not let in: of all limits in its way the one it has to wait for longest."""
        meters = [self._meters[scope] for scope in scopes if scope in self._meters]
        worst = longest(error for meter in meters for error in meter.refusals(tokens, now_s))
        assert worst is not None, "some limit has refused"
        self._meters[worst.scope, worst.name].refused += 1
        return worst
