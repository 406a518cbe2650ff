"""Messages and deltas of an OpenAI-family answer, as far as a translation must read them.

Two readings of the same bytes.  The typed one is fast and takes what vendors document; what it refuses (a count that is
a string, arguments that are an object, NaN, a lone surrogate) is read once more by Python's own reader and made to fit.

Fields are the union over the vendors: `reasoning_content` (DeepSeek, xAI, llama.cpp, LM Studio), `reasoning` (Groq,
OpenRouter, Ollama, vLLM), `reasoning_details` (OpenRouter), a list as `content` (Mistral), `images` (OpenRouter),
`extra_content` (Gemini's OpenAI surface), `text` (completions).

Source: wire notes 2.1, 2.4 to 2.14 and 2.17.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
from msgspec import Struct

from hoosh.dialects.loose_json import UNREADABLE, mended_text, read_loosely
from hoosh.dialects.openai.wire import PlainUsage, lenient_usage, plain_usage, read_usage
from hoosh.values import Usage

__all__ = [
    "Answer",
    "CallFunction",
    "CallPiece",
    "ChoicePiece",
    "ChunkRead",
    "Piece",
    "decode_chunk",
    "decode_chunks",
    "text_of",
    "usage_of",
]


class CallFunction(Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class CallPiece(Struct, gc=False):
    """A tool call, or a fragment of one."""

    index: int | None = None
    id: str | None = None
    function: CallFunction | None = None
    extra_content: Any = None


class Piece(Struct, gc=False):
    """A delta of a stream, or the message of a whole reply."""

    content: str | list[Any] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[CallPiece] | None = None
    refusal: str | None = None
    reasoning_details: list[Any] | None = None
    annotations: list[Any] | None = None
    images: list[Any] | None = None
    audio: Any = None
    function_call: CallFunction | None = None


class ChoicePiece(Struct, gc=False):
    index: int = 0
    delta: Piece | None = None
    message: Piece | None = None
    text: str | None = None
    finish_reason: str | None = None
    stop_reason: Any = None
    """vLLM: the stop string that was met, or the number of a token."""
    error: Any = None


class ChunkRead(Struct, gc=False):
    """One event of a stream.  `id` and `model` are the same on each: read from the first by `decode_chunk`."""

    choices: list[ChoicePiece] | None = None
    usage: PlainUsage | None = None
    error: Any = None
    x_groq: Any = None


class Answer(ChunkRead, gc=False):
    """A whole reply, or an event read with its head."""

    id: str | None = None
    model: str | None = None
    object: str | None = None


_typed_answer = msgspec.json.Decoder(Answer).decode
decode_chunks = msgspec.json.Decoder(list[ChunkRead]).decode
"""A JSON list of plain chunks.  Raises UNREADABLE for what is not that plain."""


def decode_chunk(data: bytes) -> Answer | None:
    """One event's JSON, whatever its types; None where it is not an object."""
    try:
        return _typed_answer(data)
    except UNREADABLE:
        return _lenient_answer(read_loosely(data))


def usage_of(chunk: ChunkRead) -> Usage | None:
    """What a chunk counts, in our terms.  Groq may say it under `x_groq` alone."""
    found = None if chunk.usage is None else plain_usage(chunk.usage)
    if found is None and isinstance(chunk.x_groq, dict):
        found = read_usage(chunk.x_groq.get("usage"))
    return found


# -- what vendors never documented -------------------------------------------------------------------------------


def _lenient_answer(whole: object) -> Answer | None:
    if not isinstance(whole, dict):
        return None
    choices = whole.get("choices")
    return Answer(
        [_lenient_choice(choice) for choice in choices] if isinstance(choices, list) else None,
        lenient_usage(whole.get("usage")),
        whole.get("error"),
        whole.get("x_groq"),
        text_of(whole.get("id")),
        text_of(whole.get("model")),
        text_of(whole.get("object")),
    )


def _lenient_choice(choice: object) -> ChoicePiece:
    fields = choice if isinstance(choice, dict) else {}
    index = fields.get("index")
    return ChoicePiece(
        index if type(index) is int else 0,
        _lenient_piece(fields.get("delta")),
        _lenient_piece(fields.get("message")),
        text_of(fields.get("text")),
        text_of(fields.get("finish_reason")),
        fields.get("stop_reason"),
        fields.get("error"),
    )


def _lenient_piece(piece: object) -> Piece | None:
    if not isinstance(piece, dict):
        return None
    content = piece.get("content")
    calls = piece.get("tool_calls")
    return Piece(
        content if isinstance(content, list) else text_of(content),
        text_of(piece.get("reasoning_content")),
        text_of(piece.get("reasoning")),
        [_lenient_call(call) for call in calls if isinstance(call, dict)] if isinstance(calls, list) else None,
        text_of(piece.get("refusal")),
        _list(piece.get("reasoning_details")),
        _list(piece.get("annotations")),
        _list(piece.get("images")),
        piece.get("audio"),
        _lenient_function(piece.get("function_call")),
    )


def _lenient_call(call: dict[str, Any]) -> CallPiece:
    index, call_id = call.get("index"), call.get("id")
    if type(call_id) is int:
        call_id = str(call_id) if abs(call_id) < 1 << 63 else None
    function = _lenient_function(call.get("function"))
    return CallPiece(index if type(index) is int else None, text_of(call_id), function, call.get("extra_content"))


def _lenient_function(function: object) -> CallFunction | None:
    if not isinstance(function, dict):
        return None
    arguments = function.get("arguments")
    if isinstance(arguments, (dict, list)):  # an object where JSON text belongs
        try:
            arguments = json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))
        except UNREADABLE:
            arguments = None
    return CallFunction(text_of(function.get("name")), text_of(arguments))


def text_of(value: object) -> str | None:
    """Text that can be written as UTF-8; lone surrogates become U+FFFD."""
    if not isinstance(value, str):
        return None
    return value if value.isascii() else mended_text(value)


def _list(value: object) -> list[Any] | None:
    return value if isinstance(value, list) else None
