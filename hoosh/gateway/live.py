"""The live view: what runs at this moment, and how the owner ends it.

    select ──▶ those that wait for their turn first, then those that ask ──▶ Account.interrupt(Withdrawn) ──▶ each ends
                                                                             on its own road, and tells its client

Nothing is kept here: a request is looked at where it is.  One that shares an upstream call with others (`caching.py`)
is shown with what that call is about, and withdrawn alone: the call goes on for the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Set

import trio

from hoosh.errors import Withdrawn
from hoosh.gateway.account import CLIENT_CLOSED_REQUEST, Account
from hoosh.values import LivePhase, RunningPage, RunningRequest, Selection

__all__ = ["LiveDesk"]

BITE = 100
"""So many are ended before others get a turn: some 20 ms, and 500 are ended within 100."""
EVERYTHING = Selection()


class LiveDesk:
    """See `hoosh.api.requests`.  `in_flight` is the gateway's own set; `note` is told what was withdrawn."""

    def __init__(self, in_flight: Set[Account], note: Callable[..., None]) -> None:
        self._in_flight = in_flight
        self._note = note

    def running(self, wanted: Selection = EVERYTHING, limit: int | None = None) -> RunningPage:
        """Those that match, oldest first, `limit` at most."""
        now_s = trio.current_time()
        found = self._select(wanted)
        found.sort(key=lambda account: account.started_at)
        return RunningPage(tuple(_shown(account, now_s) for account in found[:limit]), len(found))

    def find(self, request_id: str) -> RunningRequest | None:
        """None where it does not run."""
        return next(iter(self.running(Selection(id=request_id)).requests), None)

    async def withdraw(self, wanted: Selection, *, by: str) -> int:
        """End every request that matches now; later ones are not meant.  Returns how many it has ended.

        `by` is the name of the owner's key.  Those that are ending already, with an answer or an error, are left alone.
        Lets others run between two bites: whoever is cancelled here has ended some, and the note says how many.
        """
        meant = self._select(wanted)
        # Else each place that is given back would start one of those who wait, only to be ended.
        meant.sort(key=lambda account: _asking(account).attempts > 0)
        ended = 0
        try:
            for account in meant:
                if account not in self._in_flight or _is_settling(account):
                    continue
                account.interrupt(Withdrawn())
                ended += 1
                if ended % BITE == 0:
                    await trio.lowlevel.checkpoint()
        finally:
            if ended:
                self._tell(wanted, by, ended)
        return ended

    def _select(self, wanted: Selection) -> list[Account]:
        return [account for account in self._in_flight if _matches(account, wanted)]

    def _tell(self, wanted: Selection, by: str, ended: int) -> None:
        said = {name: getattr(wanted, name) for name in wanted.__struct_fields__}
        facts = {"request" if name == "id" else name: value for name, value in said.items() if value is not None}
        message = "Running requests were cancelled."
        self._note("admin.requests_cancelled", "warn", message, requests=ended, by=by, **facts)


def _matches(account: Account, wanted: Selection) -> bool:
    """What is not known of a request yet matches nothing."""
    return (
        (wanted.id is None or account.request_id == wanted.id)
        and (wanted.key is None or (account.caller is not None and account.caller.name == wanted.key))
        and (wanted.pool is None or _pool(account) == wanted.pool)
        and (wanted.model is None or wanted.model in _models(account))
        and (wanted.phase is None or _phase(account) == wanted.phase)
    )


def _shown(account: Account, now_s: float) -> RunningRequest:
    asking, call, caller, exchange = _asking(account), account.call, account.caller, account.exchange
    left_s = min(account.deadline_at, asking.deadline_at) - now_s
    tap = account.tap or asking.tap
    return RunningRequest(
        id=account.request_id,
        method=exchange.method,
        path=exchange.path,
        kind=account.kind.value,
        phase=_phase(account),
        age_s=round(now_s - account.started_at, 3),
        caller=None if caller is None else caller.name,
        pool=_pool(account),
        model=None if call is None else call.model,
        provider=asking.provider,
        served_model=asking.model,
        stream=call is not None and call.stream,
        priority=account.priority,
        attempts=asking.attempts,
        tried=tuple(asking.tried),
        deadline_left_s=None if left_s == math.inf else round(max(0.0, left_s), 3),
        body_bytes=account.body_bytes,
        sent_bytes=account.sent_bytes,
        chunks=0 if tap is None else tap.chunks,
        cache=account.cache,
    )


def _asking(account: Account) -> Account:
    """The account that asks the upstream: its own, except aboard a flight."""
    return account.payer or account


def _models(account: Account) -> tuple[str | None, str | None]:
    return None if account.call is None else account.call.model, _asking(account).model


def _phase(account: Account) -> LivePhase:
    return "settling" if _is_settling(account) else _place(account)


def _place(account: Account) -> LivePhase:
    """How far it has come."""
    phase = _asking(account).phase
    if phase == "reading" and account.attempt is not None:  # aboard a flight that somebody else has begun
        return "asking" if account.first_token_at is None else "streaming"
    return phase


def _pool(account: Account) -> str | None:
    """Until the request has been read it stands at the default pool, which may not be the one that will pay."""
    return None if _place(account) == "reading" else account.pool


def _is_settling(account: Account) -> bool:
    """How it ends is decided: by its answer, by an error that it tells its client, or by one that it is to end with."""
    return account.stopped is not None or account.status != CLIENT_CLOSED_REQUEST
