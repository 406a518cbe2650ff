"""The chunks of an OpenAI stream before its first content, and those whose types are odd: what both say, read whole.

Once content has gone by, a tap need not know what a delta holds, and reads less (`wire.Chunk`).
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from hoosh.dialects.loose_json import UNREADABLE
from hoosh.dialects.openai.wire import Choice, Chunk

__all__ = ["OpeningChoice", "OpeningChunk", "decode_opening", "loads", "read_leniently", "says_something"]

SILENT = frozenset({"role", "name", "index", "channel"})
"""What a delta may hold without saying anything."""


class OpeningChoice(Choice, gc=False):
    """A choice while we still wait for content."""

    delta: Any = None
    text: Any = None


class OpeningChunk(Chunk, gc=False):
    """A chunk while we still wait for content."""

    choices: list[OpeningChoice] | None = None  # type: ignore[assignment]  # narrower, and only read


decode_opening = msgspec.json.Decoder(OpeningChunk).decode


def says_something(choice: OpeningChoice) -> bool:
    if choice.text:
        return True
    delta = choice.delta
    return isinstance(delta, dict) and any(value for name, value in delta.items() if name not in SILENT)


def loads(data: bytes) -> object:
    """JSON as Python's own reader takes it: lone surrogates and NaN pass.  Text where it is not JSON at all."""
    try:
        return json.loads(data)
    except UNREADABLE:
        return data.decode("utf-8", "replace")


def read_leniently(data: bytes) -> Chunk | None:
    """A chunk with fields of unexpected types, or with JSON that only msgspec refuses: clients will read it."""
    whole = loads(data)
    if not isinstance(whole, dict):
        return None
    choices = whole.get("choices")
    return OpeningChunk(
        [_lenient_choice(choice) for choice in choices] if isinstance(choices, list) else None,
        whole.get("usage"),
        whole.get("error"),
        whole.get("x_groq"),
    )


def _lenient_choice(choice: object) -> OpeningChoice:
    fields = choice if isinstance(choice, dict) else {}
    index = fields.get("index")
    number = index if isinstance(index, int) else 0
    return OpeningChoice(number, fields.get("finish_reason"), fields.get("delta"), fields.get("text"))
