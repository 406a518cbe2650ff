"""OpenAI and the vendors of its family as upstreams.

Pure: the one clock, for a Retry-After that is a date, comes in with the constructor.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from hoosh.dialects.contract import Outgoing, Passage, StreamDecoder
from hoosh.dialects.openai.chat_answer import read_chat_reply
from hoosh.dialects.openai.chat_body import chat_body
from hoosh.dialects.openai.decoder import OpenAIDecoder
from hoosh.dialects.openai.embeddings import embedding_body, read_embeddings
from hoosh.dialects.openai.family import FAMILY, Quirks
from hoosh.dialects.openai.history import lacking
from hoosh.dialects.openai.models import read_model_list
from hoosh.dialects.openai.passage import OpenAIPassage
from hoosh.dialects.openai.sizes import read_lmstudio
from hoosh.dialects.openai.wire import CHAT_PATH, EMBEDDING_PATH
from hoosh.dialects.simple import SimpleUpstream
from hoosh.values import (
    Call,
    Capability,
    ChatReply,
    ChatRequest,
    EmbeddingRequest,
    Embeddings,
    ModelCard,
    ModelSize,
)

__all__ = ["OpenAIUpstream"]


class OpenAIUpstream(SimpleUpstream):
    """An `UpstreamDialect` for OpenAI and every vendor that differs from it by `quirks` only.

    `responses` makes the passage for clients of the Responses API: another dialect's, so it is handed in.
    """

    name = "openai"
    fetches_media = True

    def __init__(
        self,
        quirks: Quirks = FAMILY["openai"],
        *,
        responses: Callable[[], Passage] | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(now=now)
        self.quirks = quirks
        self.capabilities: frozenset[Capability] = frozenset(Capability) - quirks.cannot
        self._passage = OpenAIPassage(quirks)
        self._make_responses = responses if quirks.responses else None

    def passage(self, call: Call) -> Passage | None:
        if call.language == "openai" and self.quirks.only is None:
            return self._passage
        if call.language == "responses" and self._make_responses is not None:
            return self._make_responses()
        return None

    def encode_chat(self, request: ChatRequest, *, model: str) -> Outgoing:
        body = chat_body(request, model=model, quirks=self.quirks)
        return Outgoing(CHAT_PATH, msgspec.json.encode(body))

    def decode_chat(self, body: bytes, *, provider: str) -> ChatReply:
        return read_chat_reply(body, provider=provider)

    def chat_decoder(self, *, provider: str) -> StreamDecoder:
        return OpenAIDecoder(provider=provider, needs_reason=self.quirks.silent_errors)

    def encode_embeddings(self, request: EmbeddingRequest, *, model: str) -> Outgoing:
        if Capability.EMBEDDINGS in self.quirks.cannot:
            raise lacking(Capability.EMBEDDINGS, "embeddings", "model")
        body = embedding_body(request, model=model, quirks=self.quirks)
        return Outgoing(EMBEDDING_PATH, msgspec.json.encode(body))

    def decode_embeddings(self, body: bytes, *, provider: str) -> Embeddings:
        return read_embeddings(body, provider=provider)

    def models_request(self) -> Outgoing | None:
        return Outgoing("/v1/models", method="GET")

    def read_models(self, body: bytes, *, default_owner: str) -> list[ModelCard]:
        return read_model_list(body, default_owner=default_owner)

    def memory_request(self) -> Outgoing | None:
        path = self.quirks.memory_path
        return None if path is None else Outgoing(path, method="GET")

    def read_memory(self, body: bytes) -> dict[str, ModelSize]:
        return read_lmstudio(body)
