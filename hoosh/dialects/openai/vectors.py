"""Embeddings in OpenAI's language: numbers, or base64 of little-endian float32, in the order of the inputs.

Source: CreateEmbeddingResponse in `openai-openapi.trimmed.json`; wire notes 2.1.
"""

from __future__ import annotations

import struct
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

import msgspec

from hoosh.dialects.contract import Stamp
from hoosh.dialects.costs import cost_fields
from hoosh.dialects.loose_json import encode_safely
from hoosh.dialects.openai.replies import counts_json
from hoosh.values import Call, EmbeddingEncoding, Embeddings, Usage

__all__ = ["base64_of_vector", "encode_embeddings", "wanted_encoding"]

FLOAT32_MAX = 3.4028234663852886e38


def encode_embeddings(embeddings: Embeddings, stamp: Stamp, encoding: EmbeddingEncoding) -> bytes:
    tell = base64_of_vector if encoding is EmbeddingEncoding.BASE64 else _as_it_is
    usage = embeddings.usage
    whole: dict[str, Any] = {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": tell(vector)}
            for index, vector in enumerate(embeddings.vectors)
        ],
        "model": embeddings.model or stamp.model,
        # not optional here; 0 where the provider does not count
        "usage": counts_json(usage or Usage(), is_embedding=True) | cost_fields(stamp, usage),
    }
    return encode_safely(whole)


def wanted_encoding(call: Call) -> EmbeddingEncoding:
    """As the client asked; what it wrote wrongly has been refused with its request."""
    raw = call.fields.get("encoding_format")
    try:
        return EmbeddingEncoding.FLOAT if raw is None else msgspec.json.decode(raw, type=EmbeddingEncoding)
    except msgspec.DecodeError:
        return EmbeddingEncoding.FLOAT


def base64_of_vector(vector: Sequence[float]) -> str:
    """Python's struct refuses what float32 cannot hold: such a number becomes the largest."""
    try:
        packed = struct.pack(f"<{len(vector)}f", *vector)
    except OverflowError:
        clipped = [max(-FLOAT32_MAX, min(FLOAT32_MAX, number)) for number in vector]
        packed = struct.pack(f"<{len(vector)}f", *clipped)
    return b64encode(packed).decode()


def _as_it_is(vector: Sequence[float]) -> Sequence[float]:
    return vector
