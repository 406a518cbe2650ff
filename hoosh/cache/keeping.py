"""May the answer of a request be kept, and be given to others?

    request     chat, completion (deterministic, unless the owner wants more), embedding; nothing that somebody has to
                remember for its caller, and nothing that is asked for its effect
    answer      no tool call, unless the owner allows it: whoever plays a call again runs the tool again

Deterministic is what says `temperature: 0` or a `seed`: where neither is said, a client that asks twice wants to see
two answers.  The look at a request costs a microsecond, and less where the answer is no.

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec
from msgspec import Raw

from hoosh.cache.settings import Cache
from hoosh.values import Call, CallKind

__all__ = ["calls_tools", "is_cacheable", "may_call_tools"]

_decode_options = msgspec.json.Decoder(dict[str, Raw]).decode

REMEMBERED = ("previous_response_id", "conversation")
"""A Responses call with one of these is about something that only its provider knows."""

CALL = re.compile(
    rb'"(?:tool_calls|function_call)"\s*:\s*[\[{]\s*["{]|'  # OpenAI, Ollama: something is in it
    rb':\s*"(?:tool_calls|(?:[a-z]+_)*(?:tool_use|call))"'  # Anthropic, Responses: the type of a block
)
"""Inside a string of an answer the quotes would be escaped."""


def is_cacheable(call: Call, settings: Cache) -> bool:
    """May its answer be kept and be given to others?  Costs next to nothing where the answer is no."""
    kind = call.kind
    if kind is CallKind.EMBEDDING:
        return True
    if kind is not CallKind.CHAT and kind is not CallKind.COMPLETION:
        return False
    fields = call.fields
    if not settings.nondeterministic and (
        not ("seed" in fields or "temperature" in fields or "options" in fields)  # nearly always
        or not _is_deterministic(call.language, fields)
    ):
        return False
    if call.language == "responses":
        # What its provider or we keep for the caller cannot be kept for somebody else.
        return (
            _said(fields, "store") == b"false"
            and _said(fields, "background") != b"true"
            and all(_said(fields, name) is None for name in REMEMBERED)
        )
    return _said(fields, "store") != b"true"  # a request to keep it elsewhere is one to be sent


def may_call_tools(call: Call) -> bool:
    """Could the answer be a tool call?"""
    fields = call.fields
    return "tools" in fields or "functions" in fields or "mcp_servers" in fields


def calls_tools(body: bytes) -> bool:
    """Is there a tool call in this answer, whole or streamed, of whatever language?"""
    return CALL.search(body) is not None


def _is_deterministic(language: str, fields: Mapping[str, Raw]) -> bool:
    if language == "ollama":
        if "options" not in fields:
            return False
        fields = _options(bytes(fields["options"]))
    if "temperature" in fields and _is_zero(bytes(fields["temperature"])):
        return True
    return "seed" in fields and _said(fields, "seed") is not None


def _options(raw: bytes) -> Mapping[str, Raw]:
    try:
        return _decode_options(raw)
    except (ValueError, RecursionError):
        return {}


def _is_zero(raw: bytes) -> bool:
    try:
        return float(raw) == 0.0
    except ValueError:
        return False


def _said(fields: Mapping[str, Raw], name: str) -> bytes | None:
    """The bytes of a field's value; None where it is missing or null."""
    if name not in fields:
        return None
    raw = bytes(fields[name])
    return None if raw == b"null" else raw
