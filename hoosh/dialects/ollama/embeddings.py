"""Embeddings at `POST /api/embed`: a list of texts in, as many vectors out, in their order.

Token lists are refused: Ollama takes text only.  The older `/api/embeddings` is read as well, with its one vector.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from hoosh.dialects.contract import Outgoing
from hoosh.dialects.loose_json import read_count
from hoosh.dialects.ollama.chat_answer import line_error
from hoosh.dialects.ollama.wire import EMBED_PATH, read_as
from hoosh.errors import InvalidRequest, UpstreamBroke
from hoosh.values import EmbeddingRequest, Embeddings, Usage

__all__ = ["decode_embeddings", "encode_embeddings"]


class OutEmbed(Struct, omit_defaults=True):
    model: str
    input: list[str]
    dimensions: int | None = None


class Embedded(Struct):
    embeddings: list[tuple[float, ...]] | None = None
    embedding: tuple[float, ...] | None = None
    model: Any = None
    prompt_eval_count: Any = None
    error: Any = None


_decode = msgspec.json.Decoder(Embedded).decode


def encode_embeddings(request: EmbeddingRequest, *, model: str) -> Outgoing:
    """Raises InvalidRequest."""
    texts = [text for text in request.inputs if isinstance(text, str)]
    if len(texts) != len(request.inputs):
        raise InvalidRequest("Ollama embeds texts, not lists of tokens.", param="input", code="unsupported_parameter")
    return Outgoing(EMBED_PATH, msgspec.json.encode(OutEmbed(model, texts, request.dimensions)))


def decode_embeddings(body: bytes, *, provider: str) -> Embeddings:
    """Raises UpstreamError where a 200 holds an error, UpstreamBroke where it holds no vectors."""
    told = read_as(_decode, body)
    if told is not None and told.error:
        raise line_error(told.error, provider=provider)
    if told is None or (told.embeddings is None and told.embedding is None):
        raise UpstreamBroke("The upstream's answer holds no embeddings.", provider=provider)
    legacy = [told.embedding] if told.embedding else []
    vectors = tuple(told.embeddings if told.embeddings is not None else legacy)
    tokens = read_count(told.prompt_eval_count)
    model = told.model if isinstance(told.model, str) else ""
    return Embeddings(vectors, model, Usage(tokens) if tokens else None)
