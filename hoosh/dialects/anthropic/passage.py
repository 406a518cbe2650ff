"""The way of a client's own bytes to an upstream that speaks Anthropic's language too, and back.

Only the value of `model` is replaced; the version of the API goes along where the client named none.

Source: wire notes 2.2.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from hoosh.dialects.anthropic.chat_answer import read_token_count, whole_of
from hoosh.dialects.anthropic.content import word
from hoosh.dialects.anthropic.stops import finish_of
from hoosh.dialects.anthropic.tap import AnthropicTap
from hoosh.dialects.anthropic.whole import stream_of
from hoosh.dialects.anthropic.wire import COUNT_PATH, MESSAGES_PATH, VERSION, read_usage
from hoosh.dialects.contract import Outgoing, Stamp, WholeReply
from hoosh.dialects.costs import cost_fields, cost_of, tell_cost
from hoosh.errors import UpstreamBroke
from hoosh.values import Call, CallKind

__all__ = ["AnthropicPassage"]

PATHS = {CallKind.CHAT: MESSAGES_PATH, CallKind.TOKEN_COUNT: COUNT_PATH}

_encode = msgspec.json.encode


class AnthropicPassage:
    """A `Passage`."""

    __slots__ = ()

    def outgoing(self, call: Call, *, model: str) -> Outgoing:
        fields = {**call.fields, "model": Raw(_encode(model))}
        return Outgoing(PATHS[call.kind], _encode(fields), headers=((b"anthropic-version", VERSION),))

    def read_reply(self, call: Call, body: bytes, stamp: Stamp, *, provider: str) -> WholeReply:
        if call.kind is CallKind.TOKEN_COUNT:
            read_token_count(body, provider=provider)
            return WholeReply(body)
        facts = _facts(whole_of(body, provider=provider), provider)
        cost = cost_of(stamp, facts.usage)
        return replace(facts, body=body if cost is None else tell_cost(body, cost))

    def tap(self, call: Call, stamp: Stamp, *, provider: str) -> AnthropicTap:
        return AnthropicTap(stamp, provider=provider)

    def as_stream(self, call: Call, body: bytes, stamp: Stamp, *, provider: str) -> WholeReply:
        message = whole_of(body, provider=provider)
        facts = _facts(message, provider)
        return replace(facts, body=stream_of(message, cost_fields(stamp, facts.usage)))


def _facts(message: dict[str, Any], provider: str) -> WholeReply:
    content = message.get("content")
    if not isinstance(content, list):
        raise UpstreamBroke("The upstream's answer has no content.", provider=provider)
    finish, _ = finish_of(message, calls=0)
    reason = finish.reason.value if message.get("stop_reason") else None
    return WholeReply(b"", read_usage(message.get("usage")), word(message.get("model")) or None, reason)
