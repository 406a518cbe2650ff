"""Embeddings: `:batchEmbedContents`, one request for each input, so that a batch stays apart.

Older models count no tokens of embeddings; newer ones say them in `usageMetadata`.
Source: ai.google.dev/api/embeddings; wire notes 2.3.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct

from hoosh.dialects.contract import Outgoing
from hoosh.dialects.gemini.chat_body import encode_body
from hoosh.dialects.gemini.errors import error_of
from hoosh.dialects.gemini.naming import method_path, resource
from hoosh.dialects.gemini.wire import loads, read_usage
from hoosh.dialects.loose_json import UNREADABLE
from hoosh.errors import InvalidRequest, UpstreamBroke
from hoosh.values import EmbeddingRequest, Embeddings

__all__ = ["decode_embeddings", "encode_embeddings"]


class Vector(Struct):
    values: list[float]


class Vectors(Struct):
    """The answer of `batchEmbedContents`, or of `embedContent`."""

    embeddings: list[Vector] | None = None
    embedding: Vector | None = None
    usageMetadata: Raw = Raw(b"")
    error: Any = None


_decode = msgspec.json.Decoder(Vectors).decode


def encode_embeddings(request: EmbeddingRequest, *, model: str) -> Outgoing:
    """Raises InvalidRequest for lists of tokens: Google takes text."""
    requests = []
    for text in request.inputs:
        if not isinstance(text, str):
            raise InvalidRequest("This provider embeds texts, not tokens.", param="input", code="unsupported_parameter")
        one: dict[str, Any] = {"model": resource(model), "content": {"parts": [{"text": text}]}}
        if request.dimensions is not None:
            one["outputDimensionality"] = request.dimensions
        requests.append(one)
    return Outgoing(method_path(model, "batchEmbedContents"), encode_body({"requests": requests}))


def decode_embeddings(body: bytes, *, provider: str) -> Embeddings:
    """Raises UpstreamError, UpstreamBroke."""
    try:
        answer = _decode(body)
    except UNREADABLE:
        raise UpstreamBroke("The upstream sent what are no embeddings.", provider=provider) from None
    if answer.error:
        raise error_of(loads(body), provider=provider)
    vectors = answer.embeddings or ([answer.embedding] if answer.embedding is not None else [])
    if not vectors:
        raise UpstreamBroke("The upstream's answer holds no embedding.", provider=provider)
    usage = read_usage(answer.usageMetadata)
    return Embeddings(tuple(tuple(vector.values) for vector in vectors), usage=usage)
