"""A whole answer of the Messages API, as our reply: what its stream would have added up to."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct

from hoosh.dialects.anthropic.content import Content, word
from hoosh.dialects.anthropic.decoder import loads
from hoosh.dialects.anthropic.errors import error_of
from hoosh.dialects.anthropic.stops import finish_of
from hoosh.dialects.anthropic.wire import read_usage
from hoosh.dialects.loose_json import UNREADABLE
from hoosh.dialects.replies import fold
from hoosh.errors import UpstreamBroke
from hoosh.values import ChatReply, RefusalDelta, ReplyEvent, ReplyStarted, UsageReported

__all__ = ["read_answer", "read_token_count", "whole_of"]


class RawContent(Struct):
    content: list[Raw]


class RawInput(Struct):
    input: Raw


_decode_content = msgspec.json.Decoder(RawContent).decode
_decode_input = msgspec.json.Decoder(RawInput).decode


def whole_of(body: bytes, *, provider: str) -> dict[str, Any]:
    """The object that a 200 holds.  Raises UpstreamError where it is an error, UpstreamBroke where it is none."""
    answer = loads(body)
    if not isinstance(answer, dict):
        raise UpstreamBroke("The upstream's answer is not a JSON object.", provider=provider)
    if answer.get("type") == "error" or (answer.get("error") and "content" not in answer):
        raise error_of(answer, provider=provider)
    return answer


def read_answer(body: bytes, *, provider: str) -> ChatReply:
    """Raises UpstreamError, UpstreamBroke."""
    answer = whole_of(body, provider=provider)
    if not isinstance(answer.get("content"), list):
        raise UpstreamBroke("The upstream's answer has no content.", provider=provider)
    events: list[ReplyEvent] = [ReplyStarted(word(answer.get("id")), word(answer.get("model")))]
    content = Content()
    for index, (block, raw) in enumerate(zip(answer["content"], _raw_blocks(body, answer), strict=True)):
        if not isinstance(block, dict):
            raise UpstreamBroke("The upstream's answer has a block that is not an object.", provider=provider)
        content.open(index, block, events, raw)
        content.close(index, events)
    finish, explanation = finish_of(answer, calls=content.calls)
    if explanation:
        events.append(RefusalDelta(explanation))
    if (usage := read_usage(answer.get("usage"))) is not None:
        events.append(UsageReported(usage))
    return fold([*events, finish])


def _raw_blocks(body: bytes, answer: dict[str, Any]) -> list[Raw | None]:
    """The blocks as they were written; a call's arguments are put back as the model wrote them."""
    blocks = answer["content"]
    try:
        if not body.isascii():
            body.decode()  # msgspec does not look inside the strings that it skips
        raws = _decode_content(body).content
        for block, raw in zip(blocks, raws, strict=True):
            if isinstance(block, dict) and block.get("type") == "tool_use" and block.get("input"):
                block["input"] = _decode_input(raw).input
    except UNREADABLE:
        return [None] * len(blocks)
    return list(raws)


def read_token_count(body: bytes, *, provider: str) -> int:
    """Raises UpstreamError, UpstreamBroke."""
    tokens = whole_of(body, provider=provider).get("input_tokens")
    if type(tokens) is not int or tokens < 0:
        raise UpstreamBroke("The upstream's answer has no number of tokens.", provider=provider)
    return tokens
