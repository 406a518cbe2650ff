"""Ollama as an upstream, by its native API: the one under `/v1` knows no `think`, `keep_alive` or options."""

from __future__ import annotations

import time
from collections.abc import Callable

from hoosh.dialects.contract import Outgoing
from hoosh.dialects.ollama.chat_body import encode_chat
from hoosh.dialects.ollama.decoder import OllamaDecoder, decode_chat
from hoosh.dialects.ollama.embeddings import decode_embeddings, encode_embeddings
from hoosh.dialects.ollama.models import read_models, read_show, show_request
from hoosh.dialects.ollama.passage import PATHS, OllamaPassage
from hoosh.dialects.ollama.sizes import read_memory
from hoosh.dialects.ollama.wire import PS_PATH, TAGS_PATH
from hoosh.dialects.simple import SimpleUpstream
from hoosh.values import (
    Call,
    Capability,
    ChatReply,
    ChatRequest,
    EmbeddingRequest,
    Embeddings,
    ModelCard,
    ModelFacts,
    ModelSize,
)

__all__ = ["OllamaUpstream"]


class OllamaUpstream(SimpleUpstream):
    """An `UpstreamDialect`.  Its key is asked for by Ollama's cloud and by proxies; a local server does not look."""

    name = "ollama"
    capabilities = frozenset(
        {
            Capability.CHAT,
            Capability.STREAMING,
            Capability.TOOLS,
            Capability.VISION,
            Capability.REASONING,
            Capability.STRUCTURED_OUTPUT,
            Capability.EMBEDDINGS,
        }
    )
    fetches_media = False

    def __init__(self, *, now: Callable[[], float] = time.time) -> None:
        super().__init__(now=now)
        self._passage = OllamaPassage()

    def passage(self, call: Call) -> OllamaPassage | None:
        return self._passage if call.language == "ollama" and call.kind in PATHS else None

    def encode_chat(self, request: ChatRequest, *, model: str) -> Outgoing:
        return encode_chat(request, model=model)

    def decode_chat(self, body: bytes, *, provider: str) -> ChatReply:
        return decode_chat(body, provider=provider)

    def chat_decoder(self, *, provider: str) -> OllamaDecoder:
        return OllamaDecoder(provider=provider)

    def encode_embeddings(self, request: EmbeddingRequest, *, model: str) -> Outgoing:
        return encode_embeddings(request, model=model)

    def decode_embeddings(self, body: bytes, *, provider: str) -> Embeddings:
        return decode_embeddings(body, provider=provider)

    def models_request(self) -> Outgoing | None:
        return Outgoing(TAGS_PATH, method="GET")

    def read_models(self, body: bytes, *, default_owner: str) -> list[ModelCard]:
        return read_models(body, default_owner=default_owner)

    def facts_request(self, card: ModelCard) -> Outgoing | None:
        """Its list says little: what a model can, and its context, each is asked for by name."""
        return show_request(card.id)

    def read_facts(self, body: bytes) -> ModelFacts:
        return read_show(body)

    def memory_request(self) -> Outgoing | None:
        return Outgoing(PS_PATH, method="GET")

    def read_memory(self, body: bytes) -> dict[str, ModelSize]:
        return read_memory(body)
