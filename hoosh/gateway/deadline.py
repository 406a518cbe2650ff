"""A client's own deadline, `x-hoosh-timeout`: around everything that is done for its request.

    deadline_at ⊇ queue ⊇ … ⊇ attempt ⊇ connect, first byte, first token, idle

Attempts are given what is left of it; see `Journey`.  Requests without one cost nothing here.
"""

from __future__ import annotations

from collections.abc import Awaitable

import trio

from hoosh.errors import RequestTimeout
from hoosh.gateway.account import Account, Phase

__all__ = ["in_time"]

WORDS: dict[Phase, str] = {
    "reading": "while it was read",
    "queued": "while it waited for its turn",
    "asking": "before {whom} had answered",
    "waiting": "while it waited to ask {whom} again",
    "streaming": "within the answer of {whom}",
}


async def in_time(account: Account, answer: Awaitable[None]) -> None:
    """Wait for `answer` until the request's deadline.  Raises RequestTimeout, which says what it was about then."""
    with trio.CancelScope(deadline=account.deadline_at):
        await answer
        return
    words = WORDS[account.phase].format(whom=f"provider `{account.provider}`")
    raise RequestTimeout(f"The request's own deadline has passed {words}.")
