"""Embeddings at an upstream of OpenAI's family.

Floats are asked for: every server has them.  Base64 is read too, because some send it unasked.
Source: wire notes 2.1; `openai-openapi.trimmed.json`, CreateEmbeddingRequest.
"""

from __future__ import annotations

import base64
import sys
from array import array
from typing import Any

import msgspec
from msgspec import Struct

from hoosh.dialects.faults import error_in
from hoosh.dialects.loose_json import UNREADABLE, read_loosely
from hoosh.dialects.openai.family import Quirks, in_their_words
from hoosh.dialects.openai.wire import PlainUsage, plain_usage, read_usage
from hoosh.errors import UpstreamBroke
from hoosh.values import EmbeddingRequest, Embeddings

__all__ = ["embedding_body", "read_embeddings"]


class Vector(Struct, gc=False):
    embedding: list[float] | str
    index: int | None = None


class Vectors(Struct):
    data: list[Vector]
    model: str | None = None
    usage: PlainUsage | None = None


_decode = msgspec.json.Decoder(Vectors).decode


def embedding_body(request: EmbeddingRequest, *, model: str, quirks: Quirks) -> dict[str, Any]:
    alone = len(request.inputs) == 1 and isinstance(request.inputs[0], str)
    body: dict[str, Any] = {"model": model, "input": request.inputs[0] if alone else list(request.inputs)}
    if request.dimensions is not None:
        body["dimensions"] = request.dimensions
    if request.user is not None:
        body["user"] = request.user
    return in_their_words(body, quirks)


def read_embeddings(body: bytes, *, provider: str) -> Embeddings:
    """Raises UpstreamError where a 200 holds an error, UpstreamBroke where it holds no vectors."""
    try:
        read = _decode(body)
        vectors = [(vector.index, _floats(vector.embedding)) for vector in read.data]
        model, usage = read.model or "", None if read.usage is None else plain_usage(read.usage)
    except UNREADABLE:
        whole = read_loosely(body)
        vectors = _lenient(whole, provider)
        model = whole["model"] if isinstance(whole, dict) and isinstance(whole.get("model"), str) else ""
        usage = read_usage(whole.get("usage")) if isinstance(whole, dict) else None
    if not vectors:
        raise UpstreamBroke("The upstream's answer holds no embeddings.", provider=provider)
    if sorted(index for index, _ in vectors if index is not None) == list(range(len(vectors))):
        vectors.sort(key=lambda vector: vector[0] or 0)  # else some number all of them 0: they stay as they came
    return Embeddings(tuple([vector for _, vector in vectors]), model, usage)


def _lenient(whole: object, provider: str) -> list[tuple[int | None, tuple[float, ...]]]:
    data = whole.get("data") if isinstance(whole, dict) else None
    if not isinstance(data, list):
        if isinstance(whole, dict) and (whole.get("error") or whole.get("object") == "error"):
            raise error_in(whole, provider=provider)
        raise UpstreamBroke("The upstream's answer is not a list of embeddings.", provider=provider)
    try:
        read = [msgspec.convert(item, Vector, strict=False) for item in data]
        return [(vector.index, _floats(vector.embedding)) for vector in read]
    except UNREADABLE as error:
        raise UpstreamBroke("The upstream's embeddings are not numbers.", provider=provider) from error


def _floats(embedding: list[float] | str) -> tuple[float, ...]:
    """Raises ValueError for what is no base64 of floats."""
    if not isinstance(embedding, str):
        return tuple(embedding)
    raw = base64.b64decode(embedding, validate=True)
    floats = array("f")
    floats.frombytes(raw)
    if sys.byteorder == "big":
        floats.byteswap()
    if floats and len(floats) % 2 == 0 and not any(floats[::2]):
        doubles = array("d")  # older vLLM: doubles, of numbers that had been short
        doubles.frombytes(raw)
        if sys.byteorder == "big":
            doubles.byteswap()
        return tuple(doubles)
    return tuple(floats)
