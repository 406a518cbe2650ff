"""OpenAI and the vendors of its family as upstreams.

Pure: the one clock, for a Retry-After that is a date, comes in with the constructor.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from hoosh.dialects.contract import HeaderList, Outgoing, StreamDecoder
from hoosh.dialects.faults import decode_error
from hoosh.dialects.openai.family import FAMILY, Quirks
from hoosh.dialects.openai.passage import OpenAIPassage
from hoosh.errors import UpstreamError
from hoosh.values import (
    Call,
    Capability,
    ChatReply,
    ChatRequest,
    EmbeddingRequest,
    Embeddings,
    ModelCard,
)

__all__ = ["OpenAIUpstream"]


class OpenAIUpstream:
    """An `UpstreamDialect` for OpenAI and every vendor that differs from it by `quirks` only."""

    name = "openai"
    capabilities: frozenset[Capability] = frozenset(Capability)
    fetches_media = True

    def __init__(self, quirks: Quirks = FAMILY["openai"], *, now: Callable[[], float] = time.time) -> None:
        self.quirks = quirks
        self._now = now
        self._passage = OpenAIPassage(quirks)

    def passage(self, call: Call) -> OpenAIPassage | None:
        return self._passage if call.language == "openai" else None

    def auth(self, key: str) -> HeaderList:
        return [(b"authorization", b"Bearer " + key.encode("latin-1"))]

    def encode_chat(self, request: ChatRequest, *, model: str) -> Outgoing:
        raise NotImplementedError

    def decode_chat(self, body: bytes, *, provider: str) -> ChatReply:
        raise NotImplementedError

    def chat_decoder(self, *, provider: str) -> StreamDecoder:
        raise NotImplementedError

    def encode_embeddings(self, request: EmbeddingRequest, *, model: str) -> Outgoing:
        raise NotImplementedError

    def decode_embeddings(self, body: bytes, *, provider: str) -> Embeddings:
        raise NotImplementedError

    def encode_token_count(self, request: ChatRequest, *, model: str) -> Outgoing | None:
        return None

    def decode_token_count(self, body: bytes, *, provider: str) -> int:
        raise NotImplementedError

    def decode_error(self, status: int, retry_after: str | None, body: bytes, *, provider: str) -> UpstreamError:
        return decode_error(status, retry_after, body, provider=provider, now_s=self._now())

    def models_request(self) -> Outgoing | None:
        return Outgoing("/v1/models", method="GET")

    def read_models(self, body: bytes, *, default_owner: str) -> list[ModelCard]:
        """An OpenAI-shaped model list."""
        raise NotImplementedError
