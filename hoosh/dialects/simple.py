"""The answers of an upstream that chats and does nothing else: every dialect begins with these, a plugin's too.

What is left to write: `encode_chat`, `decode_chat`, `chat_decoder`, and whatever else the upstream can do.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from hoosh.dialects.contract import HeaderList, Outgoing, Passage
from hoosh.dialects.faults import decode_error
from hoosh.errors import InvalidRequest, UpstreamBroke, UpstreamError
from hoosh.values import Call, Capability, ChatRequest, EmbeddingRequest, Embeddings, ModelCard, ModelFacts, ModelSize

__all__ = ["SimpleUpstream"]


class SimpleUpstream:
    """Translated always, a Bearer key, no embeddings, no token counts, no model list."""

    name = ""
    capabilities: frozenset[Capability] = frozenset({Capability.CHAT, Capability.STREAMING})
    fetches_media = False

    def __init__(self, *, now: Callable[[], float] = time.time) -> None:
        self.now = now
        """The one clock: for a Retry-After that is a date."""

    def passage(self, call: Call) -> Passage | None:
        return None

    def auth(self, key: str) -> HeaderList:
        return [(b"authorization", b"Bearer " + key.encode("latin-1"))]

    def encode_embeddings(self, request: EmbeddingRequest, *, model: str) -> Outgoing:
        raise InvalidRequest(f"The model `{request.model}` has no embeddings.", param="model")

    def decode_embeddings(self, body: bytes, *, provider: str) -> Embeddings:
        raise UpstreamBroke("The upstream's answer holds no embeddings.", provider=provider)

    def encode_token_count(self, request: ChatRequest, *, model: str) -> Outgoing | None:
        return None

    def decode_token_count(self, body: bytes, *, provider: str) -> int:
        raise UpstreamBroke("The upstream's answer holds no count of tokens.", provider=provider)

    def decode_error(self, status: int, retry_after: str | None, body: bytes, *, provider: str) -> UpstreamError:
        return decode_error(status, retry_after, body, provider=provider, now_s=self.now())

    def models_request(self) -> Outgoing | None:
        return None

    def read_models(self, body: bytes, *, default_owner: str) -> list[ModelCard]:
        return []

    def facts_request(self, card: ModelCard) -> Outgoing | None:
        return None

    def read_facts(self, body: bytes) -> ModelFacts:
        return ModelFacts()

    def memory_request(self) -> Outgoing | None:
        return None

    def read_memory(self, body: bytes) -> dict[str, ModelSize]:
        return {}
