"""Anthropic as an upstream.

Pure: the one clock, for a Retry-After that is a date, comes in with the constructor.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from hoosh.dialects.anthropic.chat_answer import read_answer, read_token_count
from hoosh.dialects.anthropic.chat_body import chat_body, count_body
from hoosh.dialects.anthropic.decoder import AnthropicDecoder
from hoosh.dialects.anthropic.models import read_models
from hoosh.dialects.anthropic.passage import AnthropicPassage
from hoosh.dialects.anthropic.wire import MODELS_PATH, SEALED_ABROAD, VERSION
from hoosh.dialects.contract import HeaderList, Outgoing
from hoosh.dialects.simple import SimpleUpstream
from hoosh.errors import InvalidRequest, UpstreamBroke
from hoosh.values import (
    Call,
    CallKind,
    Capability,
    ChatReply,
    ChatRequest,
    EmbeddingRequest,
    Embeddings,
    ModelCard,
)

__all__ = ["AnthropicUpstream"]

CAPABILITIES = frozenset(
    {
        Capability.CHAT,
        Capability.STREAMING,
        Capability.TOOLS,
        Capability.VISION,
        Capability.FILES,
        Capability.REASONING,
        Capability.STRUCTURED_OUTPUT,
        Capability.PREFILL,
    }
)

_sealed_abroad = re.compile(SEALED_ABROAD)


class AnthropicUpstream(SimpleUpstream):
    """An `UpstreamDialect`."""

    name = "anthropic"
    capabilities: frozenset[Capability] = CAPABILITIES
    fetches_media = True

    def __init__(self, *, now: Callable[[], float] = time.time) -> None:
        super().__init__(now=now)
        self._passage = AnthropicPassage()

    def passage(self, call: Call) -> AnthropicPassage | None:
        """A conversation that another provider has thought or searched for in between is translated: its seals would
        be refused."""
        if call.language != "anthropic" or call.kind not in (CallKind.CHAT, CallKind.TOKEN_COUNT):
            return None
        messages = call.fields.get("messages")
        if messages is not None and _sealed_abroad.search(memoryview(messages)):
            return None
        return self._passage

    def auth(self, key: str) -> HeaderList:
        return [(b"x-api-key", key.encode("latin-1"))]

    def encode_chat(self, request: ChatRequest, *, model: str) -> Outgoing:
        return chat_body(request, model=model)

    def decode_chat(self, body: bytes, *, provider: str) -> ChatReply:
        return read_answer(body, provider=provider)

    def chat_decoder(self, *, provider: str) -> AnthropicDecoder:
        return AnthropicDecoder(provider=provider)

    def encode_embeddings(self, request: EmbeddingRequest, *, model: str) -> Outgoing:
        raise InvalidRequest("Anthropic has no embeddings.", param="model", code="unsupported_operation")

    def decode_embeddings(self, body: bytes, *, provider: str) -> Embeddings:
        raise UpstreamBroke("Anthropic has no embeddings.", provider=provider)

    def encode_token_count(self, request: ChatRequest, *, model: str) -> Outgoing | None:
        return count_body(request, model=model)

    def decode_token_count(self, body: bytes, *, provider: str) -> int:
        return read_token_count(body, provider=provider)

    def models_request(self) -> Outgoing | None:
        return Outgoing(MODELS_PATH, method="GET", headers=((b"anthropic-version", VERSION),))

    def read_models(self, body: bytes, *, default_owner: str) -> list[ModelCard]:
        return read_models(body, default_owner=default_owner)
