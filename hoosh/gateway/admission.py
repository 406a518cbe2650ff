"""May this request start now?  The limits of its key and its model, and of each provider that could answer it.

    read ──enter──▶ its place among the requests of key and model     RateLimited: 429, and it has cost nothing
    journey ──place_at──▶ its place among those of a provider    RateLimited: another provider is asked
    over ──leave──▶ the place is free, and its tokens are those it came to

Tokens are guessed roughly as long as the rough guess fits: it is corrected in the end, as any is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import trio

from hoosh.admission import Gate, Pass, Rates, Scope, limits_for, model_scope
from hoosh.config import Config
from hoosh.errors import RateLimited
from hoosh.values import ANONYMOUS, Call, Target

if TYPE_CHECKING:
    from hoosh.gateway.account import Account

__all__ = ["ROUGH_BYTES", "Admission"]

ROUGH_BYTES = 2
"""Of a request's body: no prompt has more tokens than one for so many, for all that we have seen."""
SCOPES_KEPT = 4096
MODEL_CHARS = 200
"""A client's longer names for models are nobody's, and not remembered."""


class Admission:
    """The gate, and who has to go through it.  Nothing here waits."""

    def __init__(self, config: Config, *, guess: Callable[[Call, Target], int], wall_s: Callable[[], float]) -> None:
        """`guess` says how many tokens a prompt has, `wall_s` is Unix time."""
        self.gate = Gate()
        self._guess = guess
        self._wall_s = wall_s
        self.configure(config)

    def configure(self, config: Config) -> None:
        """From now on these are the limits.  Who is inside stays inside, and what was asked lately counts."""
        self.gate.configure(_rates(config))
        self._limits = config.limits
        self._scopes: dict[tuple[str, str], tuple[Scope, ...]] = {}

    def enter(self, account: Account, call: Call, target: Target) -> None:
        """A request begins: count it against its key and its model.

        Raises RateLimited, and then it has cost nothing.
        """
        scopes = self._scopes_of((account.caller or ANONYMOUS).name, call.model)
        if not scopes:
            return
        now_s = trio.current_time()
        try:
            account.entry = self._pass(account, call, target, scopes, now_s)
        finally:
            if scopes[0][0] == "key":
                wall_s, language = self._wall_s(), account.downstream.name
                account.rate_headers = self.gate.headers(scopes[0], now_s, wall_s=wall_s, language=language)

    def leave(self, account: Account) -> None:
        """Give back its place among the requests of its key and its model."""
        if account.entry is not None:
            settled = account.bill.settlement
            account.entry.leave(0 if settled is None else settled.usage.total_tokens, trio.current_time())

    def place_at(self, account: Account, call: Call, target: Target, now_s: float) -> Pass | None:
        """Count an attempt against its provider; None where that has no limits.  Raises RateLimited."""
        scope = ("provider", target.provider)
        if not self.gate.is_limited(scope):
            return None
        return self._pass(account, call, target, (scope,), now_s)

    def _pass(self, account: Account, call: Call, target: Target, scopes: tuple[Scope, ...], now_s: float) -> Pass:
        asked = call.max_tokens or 0
        if account.prompt_tokens is None:
            try:
                return self.gate.enter(scopes, account.body_bytes // ROUGH_BYTES + asked, now_s)
            except RateLimited as refused:
                if refused.what != "tokens":
                    raise
            account.prompt_tokens = self._guess(call, target)
        return self.gate.enter(scopes, account.prompt_tokens + asked, now_s)

    def _scopes_of(self, caller: str, model: str) -> tuple[Scope, ...]:
        """The limits that a request for `model`, as the client says it, has to go through: of its key and its model."""
        found = self._scopes.get((caller, model))
        if found is None:
            wanted = (("key", caller), model_scope(self._limits, model))
            found = tuple(scope for scope in wanted if scope is not None and self.gate.is_limited(scope))
            if len(model) <= MODEL_CHARS:
                if len(self._scopes) >= SCOPES_KEPT:
                    del self._scopes[next(iter(self._scopes))]
                self._scopes[caller, model] = found
        return found


def _rates(config: Config) -> Mapping[Scope, Rates]:
    return limits_for(
        {key.name: Rates(key.rpm, key.tpm, key.max_concurrent) for key in config.all_keys()},
        config.limits,
        {
            account: Rates(each.rate_limit_rpm, each.tpm, each.max_concurrent)
            for each in config.providers
            for account, _ in each.accounts()
        },
    )
