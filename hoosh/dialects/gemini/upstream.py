"""Google's Gemini API as an upstream.

Pure: the one clock, for a Retry-After that is a date, comes in with the constructor.
"""

from __future__ import annotations

from hoosh.dialects.contract import HeaderList, Outgoing, StreamDecoder
from hoosh.dialects.gemini import chat_body, decoder, embeddings, errors
from hoosh.dialects.gemini.models import MODELS, read_models
from hoosh.dialects.gemini.wire import loads
from hoosh.dialects.simple import SimpleUpstream
from hoosh.errors import UpstreamBroke, UpstreamError
from hoosh.values import Capability, ChatReply, ChatRequest, EmbeddingRequest, Embeddings, ModelCard

__all__ = ["GeminiUpstream"]

CAPABILITIES = frozenset(
    {
        Capability.CHAT,
        Capability.STREAMING,
        Capability.TOOLS,
        Capability.VISION,
        Capability.AUDIO_INPUT,
        Capability.FILES,
        Capability.REASONING,
        Capability.STRUCTURED_OUTPUT,
        Capability.EMBEDDINGS,
    }
)


class GeminiUpstream(SimpleUpstream):
    """An `UpstreamDialect`.  Nobody speaks it to us, so every call is translated."""

    name = "gemini"
    capabilities: frozenset[Capability] = CAPABILITIES
    fetches_media = False

    def auth(self, key: str) -> HeaderList:
        return [(b"x-goog-api-key", key.encode("latin-1"))]

    def encode_chat(self, request: ChatRequest, *, model: str) -> Outgoing:
        return chat_body.encode_chat(request, model=model)

    def decode_chat(self, body: bytes, *, provider: str) -> ChatReply:
        return decoder.decode_chat(body, provider=provider)

    def chat_decoder(self, *, provider: str) -> StreamDecoder:
        return decoder.GeminiDecoder(provider=provider)

    def encode_embeddings(self, request: EmbeddingRequest, *, model: str) -> Outgoing:
        return embeddings.encode_embeddings(request, model=model)

    def decode_embeddings(self, body: bytes, *, provider: str) -> Embeddings:
        return embeddings.decode_embeddings(body, provider=provider)

    def encode_token_count(self, request: ChatRequest, *, model: str) -> Outgoing:
        return chat_body.encode_token_count(request, model=model)

    def decode_token_count(self, body: bytes, *, provider: str) -> int:
        answer = loads(body)
        if not isinstance(answer, dict):
            raise UpstreamBroke("The upstream sent what is no count of tokens.", provider=provider)
        if answer.get("error"):
            raise errors.error_of(answer, provider=provider)
        total = answer.get("totalTokens", 0)  # Google leaves out a zero
        if type(total) is not int or total < 0:
            raise UpstreamBroke("The upstream sent what is no count of tokens.", provider=provider)
        return total

    def decode_error(self, status: int, retry_after: str | None, body: bytes, *, provider: str) -> UpstreamError:
        return errors.decode_error(status, retry_after, body, provider=provider, now_s=self.now())

    def models_request(self) -> Outgoing:
        return MODELS

    def read_models(self, body: bytes, *, default_owner: str) -> list[ModelCard]:
        return read_models(body)
