"""How many tokens would this prompt take?  Asked of the upstream where it has an answer, else estimated.

An estimate says so in the header `x-hoosh-estimated`.  Source: Anthropic's `POST /v1/messages/count_tokens`, OpenAI's
`POST /v1/responses/input_tokens`; wire notes 2.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hoosh.gateway.account import Account
from hoosh.gateway.chat import answer_headers, take_call
from hoosh.gateway.dispatch import Dispatch
from hoosh.gateway.relay import relay_whole
from hoosh.gateway.way import Way
from hoosh.http.exchange import Exchange
from hoosh.values import (
    AudioPart,
    ChatRequest,
    DataSource,
    FilePart,
    ImagePart,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)

if TYPE_CHECKING:
    from hoosh.gateway.gateway import Gateway

__all__ = ["count_tokens", "estimated_tokens"]

BYTES_PER_TOKEN = 4
"""Of English text; other scripts have fewer bytes to a token in some models and more in others."""
MESSAGE_TOKENS = 4
IMAGE_TOKENS = 1_000
"""A picture of 1 000 × 750 points costs so much at Anthropic and OpenAI (high detail)."""
DATA_BYTES_PER_TOKEN = 100
"""Of base64 sound and documents."""


async def count_tokens(gateway: Gateway, exchange: Exchange, account: Account) -> None:
    """Answer with a number of tokens.  Raises HooshError."""
    call, candidates = await take_call(gateway, exchange, account)
    target = candidates[0]
    upstream = gateway.fleet[target.provider]
    if call.language in upstream.lacks or upstream.dialect.passage(call) is None:
        request = account.downstream.chat_request(call)
        if upstream.dialect.encode_token_count(request, model=target.model) is None:
            account.provider, account.model = target.provider, target.model
            body = account.downstream.encode_token_count(estimated_tokens(request))
            headers = [
                *answer_headers(account),
                (b"x-hoosh-estimated", b"true"),
                (b"content-type", b"application/json"),
            ]
            await exchange.respond(200, headers, body)
            account.answered(200)
            return
    async with Dispatch(
        candidates, Way(call, account, gateway.facts, gateway.fetch_media), gateway.fleet, account
    ) as reply:
        await relay_whole(exchange, reply, call, account, answer_headers(account))


def estimated_tokens(request: ChatRequest) -> int:
    """A guess at the prompt's tokens, from its bytes."""
    tokens = sum(MESSAGE_TOKENS + sum(map(_part_tokens, message.parts)) for message in request.messages)
    for tool in request.tools:
        schema = bytes(tool.parameters) if tool.parameters is not None else b""
        tokens += MESSAGE_TOKENS + _text_tokens(tool.name + (tool.description or "")) + len(schema) // BYTES_PER_TOKEN
    return tokens


def _part_tokens(part: Part) -> int:
    match part:
        case TextPart() | RefusalPart():
            return _text_tokens(part.text)
        case ReasoningPart():
            return _text_tokens(part.text + part.data)
        case ImagePart():
            return IMAGE_TOKENS
        case AudioPart():
            return len(part.base64) // DATA_BYTES_PER_TOKEN
        case FilePart():
            size = len(part.source.base64) if isinstance(part.source, DataSource) else 0
            return max(IMAGE_TOKENS, size // DATA_BYTES_PER_TOKEN)
        case ToolCallPart():
            return MESSAGE_TOKENS + _text_tokens(part.name + part.arguments)
        case ToolResultPart():
            return MESSAGE_TOKENS + sum(map(_part_tokens, part.parts))
        case OpaquePart():
            return len(bytes(part.raw)) // BYTES_PER_TOKEN


def _text_tokens(text: str) -> int:
    return -(-len(text.encode("utf-8", "surrogatepass")) // BYTES_PER_TOKEN)
