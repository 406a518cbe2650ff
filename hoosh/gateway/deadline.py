"""A client's own deadline, `x-hoosh-timeout`: around everything that is done for its request.

    deadline_at ⊇ queue ⊇ … ⊇ attempt ⊇ connect, first byte, first token, idle

Attempts are given what is left of it; see `Journey`.  Requests without one cost nothing here.
"""

from __future__ import annotations

from collections.abc import Awaitable

import trio

from hoosh.errors import RequestTimeout
from hoosh.gateway.account import Account, Phase
from hoosh.values import Outcome

__all__ = ["in_time"]

WORDS: dict[Phase, str] = {
    "reading": "while it was read",
    "queued": "while it waited for its turn",
    "asking": "before {whom} had answered",
    "waiting": "while it waited to ask {whom} again",
    "streaming": "within the answer of {whom}",
}


async def in_time(account: Account, answer: Awaitable[None]) -> None:
    """Wait for `answer` until the request's deadline.  Raises RequestTimeout, which says what it was about then.

    An answer that has gone out is one, whatever its upstream's connection was still waited for.
    """
    with trio.CancelScope(deadline=account.deadline_at):
        await answer
        return
    if account.outcome is Outcome.OK:
        return
    words = WORDS[account.phase].format(whom=f"provider `{account.provider}`")
    raise RequestTimeout(f"The request's own deadline has passed {words}.")
