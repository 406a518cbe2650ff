"""Embeddings in our own words."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from hoosh.values.usage import Usage

__all__ = ["EmbeddingEncoding", "EmbeddingRequest", "Embeddings"]


class EmbeddingEncoding(StrEnum):
    FLOAT = "float"
    BASE64 = "base64"
    """Little-endian float32."""


class EmbeddingRequest(Struct, frozen=True):
    """One vector for each of `inputs`, in their order: batches are kept apart."""

    model: str
    inputs: tuple[str | tuple[int, ...], ...]
    """Texts, or lists of token numbers (which only some providers take)."""
    dimensions: int | None = None
    encoding: EmbeddingEncoding = EmbeddingEncoding.FLOAT
    """What the *client* wants back."""
    user: str | None = None


class Embeddings(Struct, frozen=True):
    """`vectors[i]` belongs to `inputs[i]`."""

    vectors: tuple[tuple[float, ...], ...]
    model: str = ""
    usage: Usage | None = None
