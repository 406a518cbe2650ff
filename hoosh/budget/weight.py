"""How heavy is a prompt, and how long may its answer be?  Asked of the raw body, before it is sent anywhere.

    weigh(call) ──▶ Weight(text_bytes, messages, …) ──▶ Estimator.prompt_tokens(key, weight)

The fields are measured, not read: `text_bytes` are the bytes of what becomes prompt, without the furniture of JSON
around it.  Only a body that names media or sealed thoughts is looked at more closely (`media.py`).  Nothing here
raises, whatever the body is: a request that nobody here understands may still be understood where it is going.
"""

from __future__ import annotations

from msgspec import Struct

from hoosh.budget.media import media_in
from hoosh.values import Call, CallKind, ModelFacts

__all__ = ["REPLY_TOKENS", "Weight", "choices", "reply_limit", "weigh"]

REPLY_TOKENS = 1_024
"""Of a reply of which nothing is known (reference section 5)."""
REPLY_TOKENS_MAX = 1_000_000
CHOICES_MAX = 128
"""OpenAI's own limit on `n`."""

EMPTY_BYTES = 4
"""`[]`, `null`."""
FORMAT_BYTES_MIN = 64
"""What is shorter names no schema."""
FIELD_FURNITURE = 2
MESSAGE_FURNITURE = 26
"""Bytes of `{"role":"user","content":""}`, without the role itself."""
PART_FURNITURE = 22
"""Of `{"type":"text","text":""}`."""
SAMPLE_BYTES = 4_096
"""Of a text that are searched for `\\u` escapes; the rest is taken to be alike."""
ESCAPE_FURNITURE = 4
"""`\\u043f` is 6 bytes for 2 of UTF-8."""

_TEXT, _TOOLS, _FORMAT = range(3)
_MEANINGS = {
    **dict.fromkeys(("messages", "input", "prompt", "system", "instructions", "images"), _TEXT),
    **dict.fromkeys(("tools", "functions"), _TOOLS),
    **dict.fromkeys(("response_format", "format", "output_format", "output_config", "text"), _FORMAT),
}
"""What becomes prompt, in any of the languages."""
_MARKS = {
    "openai": (b'"image_url"', b'"input_audio"', b'"file"', b'signature"', b'"data"'),
    "responses": (b'"input_image"', b'"image_url"', b'"input_file"', b'"encrypted_content"'),
    "anthropic": (b'"source"', b'signature"', b'"data"'),
}
"""What a body with media, or with thoughts that are sealed, has in it; Ollama's has `"images"`."""


class Weight(Struct, frozen=True, gc=False):
    """What of a prompt can be measured without a tokenizer."""

    text_bytes: int
    messages: int
    fixed_tokens: int = 0
    """Of images, sound and documents, counted apart; of a prompt that came as tokens."""
    tool_bytes: int = 0
    """Of tools and schemas: most providers rewrite them, each in its own way."""
    has_tools: bool = False


def weigh(call: Call) -> Weight:
    """How heavy the prompt of `call` is."""
    text_bytes = messages = fixed_tokens = tool_bytes = 0
    has_tools = False
    for name, value in call.fields.items():
        meaning = _MEANINGS.get(name)
        if meaning is None:
            continue
        raw = bytes(value)
        if meaning == _TEXT:
            text, roles, fixed = _text(name, raw, call.language)
            text_bytes += text
            messages += roles
            fixed_tokens += fixed
        elif meaning == _TOOLS:
            if len(raw) > EMPTY_BYTES:
                tool_bytes += len(raw)
                has_tools = True
        elif len(raw) >= FORMAT_BYTES_MIN:
            tool_bytes += len(raw)
    return Weight(text_bytes, messages or 1, fixed_tokens, tool_bytes, has_tools)


def _text(name: str, raw: bytes, language: str) -> tuple[int, int, int]:
    """Bytes of text, messages and fixed tokens of one field."""
    if raw == b"null":
        return 0, 0, 0
    if raw[:1] == b"[" and (raw[1:2] == b"[" or raw[1:2].isdigit()):  # tokens already
        return 0, 0, raw.count(b",") + 1
    roles = raw.count(b'"role"')
    parts = raw.count(b'"type"')
    text_bytes = len(raw) - FIELD_FURNITURE - roles * MESSAGE_FURNITURE - parts * PART_FURNITURE
    if b"\\" in raw:
        text_bytes -= _escape_furniture(raw)
    fixed_tokens = 0
    if _may_hold_media(name, raw, language, is_typed=parts > 0):
        media = media_in(raw, language)
        text_bytes -= media.bytes
        fixed_tokens = media.tokens
    return max(0, text_bytes), roles, fixed_tokens


def _escape_furniture(raw: bytes) -> int:
    escapes = raw.count(b"\\u", 0, SAMPLE_BYTES)
    return escapes * ESCAPE_FURNITURE * max(1, len(raw) // SAMPLE_BYTES)


def _may_hold_media(name: str, raw: bytes, language: str, *, is_typed: bool) -> bool:
    if language == "ollama":
        return name == "images" or b'"images"' in raw
    # A part of any other language says its type, so that a body of plain messages is not searched at all.
    return is_typed and any(mark in raw for mark in _MARKS.get(language, ()))


def reply_limit(call: Call, facts: ModelFacts) -> int:
    """How many tokens the reply may have, of all its choices: what a hold is placed for."""
    if call.kind in (CallKind.EMBEDDING, CallKind.TOKEN_COUNT):
        return 0
    limit = call.max_tokens
    if limit is None:
        limit = REPLY_TOKENS if facts.max_output_tokens is None else facts.max_output_tokens
    limit = min(max(0, limit), REPLY_TOKENS_MAX)
    return limit * choices(call) if "n" in call.fields or "best_of" in call.fields else limit


def choices(call: Call) -> int:
    """How many replies are wanted: `n` or `best_of` of OpenAI's language; 1 where that is nonsense, which is not ours
    to refuse."""
    fields = call.fields
    if call.language != "openai" or ("n" not in fields and "best_of" not in fields):
        return 1
    wanted = 1
    for name in ("n", "best_of"):
        value = fields.get(name)
        if value is not None and (raw := bytes(value)).isdigit() and len(raw) <= 9:
            wanted = max(wanted, int(raw))
    return min(wanted, CHOICES_MAX)
