"""Engines that have no list of models are known by what else they answer.

    whisper.cpp   `server: whisper.cpp` on everything, and a page at `/` that says so; no `/v1/models`
    Piper         `GET /voices`: an object of voices, each with its configuration; no `/v1/models`

Nothing is uploaded and nothing spoken to find out: two GETs at most, at ports where such an engine may be.
Sources: wire notes 2.15 and 2.16; the servers' published sources.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from hoosh.catalogue.providers import ProviderType

__all__ = ["SIGNS", "Sign", "is_sign_of"]

_decode_voices = msgspec.json.Decoder(dict[str, dict[str, msgspec.Raw]]).decode


class Sign(msgspec.Struct, frozen=True):
    """What to ask an engine for, and how its answer gives it away."""

    path: str
    is_theirs: Callable[[str, bytes], bool]
    """From the `server` header and the body of a 200."""


def _is_whisper(server: str, body: bytes) -> bool:
    return server.casefold().startswith("whisper.cpp") or b"whisper.cpp" in body[:4096].lower()


def _is_piper(server: str, body: bytes) -> bool:
    try:
        return bool(_decode_voices(body))
    except (ValueError, RecursionError):
        return False


SIGNS: Mapping[str, Sign] = {"whisper": Sign("/", _is_whisper), "piper": Sign("/voices", _is_piper)}
"""By wire name, for the types that have no list of models."""


def is_sign_of(kind: ProviderType, status: int, server: str, body: bytes) -> bool:
    """Does this answer to `SIGNS[kind.wire].path` come from an engine of `kind`?"""
    return status == 200 and SIGNS[kind.wire].is_theirs(server, body)
