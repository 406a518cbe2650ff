"""What a request has used: as its upstream counts, or by our own count where that does not, or not to the end.

a whole reply           what the upstream says; `text_bytes` of it are guessed at where it says nothing
a stream broken off     what it has said so far, where that goes as far as the pieces that went by; else those
nothing has gone out    nothing: what came and was not passed on has done the client no good
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from hoosh.dialects.contract import Ending, StreamTap
from hoosh.errors import HooshError
from hoosh.values import CallKind, Usage

if TYPE_CHECKING:
    from hoosh.gateway.account import Account

__all__ = ["GENERATING", "NOTHING", "consumed", "text_bytes"]

GENERATING = frozenset({CallKind.CHAT, CallKind.COMPLETION})
LISTENING = frozenset({CallKind.TRANSCRIPTION, CallKind.TRANSLATION})
FURNITURE_BYTES = 400
"""Of a whole reply, around its text."""
LAST_PIECES = 3
"""Of a stream, that say that it ends and no more."""
NOTHING = Usage()

Consumed = tuple[Usage, bool]
"""And whether the count is ours."""


def consumed(
    account: Account,
    prompt_tokens: Callable[[], int],
    reply_tokens: Callable[[int], int],
    *,
    is_whole: bool,
    is_over: bool,
) -> Consumed:
    """Up to now.  `is_whole`: the reply has come to its end; `is_over`: nothing more will come.

    `prompt_tokens` is our guess at the prompt, `reply_tokens` at so many pieces of a stream.
    """
    tap, said = account.tap, account.said_usage
    if is_whole and said is not None:
        return said, account.is_estimated
    if tap is not None:
        if not account.exchange.started or not (tap.has_content or said is not None):
            return NOTHING, False
        completion = reply_tokens(tap.chunks)
        if said is None:
            return Usage(prompt_tokens(), completion), True
        return _broken_off(said, completion, tap, is_over=is_over)
    if account.kind is CallKind.SPEECH and account.sent_bytes:
        return Usage(prompt_tokens()), True
    return (NOTHING, False) if said is None else (said, account.is_estimated)


def _broken_off(said: Usage, completion: int, tap: StreamTap, *, is_over: bool) -> Consumed:
    """What the upstream has said so far holds where it goes as far as what went by; Anthropic's first word does not."""
    if said.completion_tokens + 1 >= completion:
        return said, False
    if is_over and said.completion_tokens + LAST_PIECES >= completion and _has_its_end(tap):
        return said, False
    return replace(said, completion_tokens=completion, reasoning_tokens=0, audio_completion_tokens=0), True


def _has_its_end(tap: StreamTap) -> bool:
    """Has the upstream said its last word, though the client was not there for it?  The tap is closed then."""
    try:
        return tap.close()[1] is Ending.COMPLETE
    except HooshError:
        return False


def text_bytes(kind: CallKind, reply_bytes: int) -> int:
    """Of a whole reply of so many bytes, those that are text a model has made."""
    if kind in GENERATING:
        return max(0, reply_bytes - FURNITURE_BYTES)
    return reply_bytes if kind in LISTENING else 0
