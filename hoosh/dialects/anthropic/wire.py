"""What travels in Anthropic's Messages language, word for word.

Blocks and requests are written from these structs and read into them.  What the two roles have no words of their own
for stays raw JSON.  A raw field that was not given is `ABSENT`, by identity: msgspec leaves it out again.

Source: wire notes 2.2; the API reference of the Messages API, "Create a Message".
"""

from __future__ import annotations

from typing import Any

from msgspec import Raw, Struct

from hoosh.dialects.loose_json import TOKENS_MAX
from hoosh.values import Usage

__all__ = ["ABSENT", "COUNT_PATH", "MESSAGES_PATH", "MODELS_PATH", "SEALED_ABROAD", "STOP", "VERSION"]
__all__ += ["Base64Source", "Body", "CacheControl", "ContentSource", "DocumentBlock", "FileIdSource", "ImageBlock"]
__all__ += ["InputSource", "Metadata", "OutputConfig", "OutputFormat", "RedactedThinkingBlock", "TextBlock"]
__all__ += ["TextSource", "ThinkingBlock", "ThinkingConfig", "ToolChoiceParam", "ToolParam", "ToolResultBlock"]
__all__ += ["ToolUseBlock", "Turn", "UrlSource", "given", "read_usage"]

MESSAGES_PATH = "/v1/messages"
COUNT_PATH = "/v1/messages/count_tokens"
MODELS_PATH = "/v1/models?limit=1000"

VERSION = b"2023-06-01"
"""Of the API; a client's own header goes before it."""

STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
"""The terminator of a stream: each side writes its own."""

SEALED_ABROAD = rb'"(?:signature|data)"\s*:\s*"hoosh:|"encrypted_index"\s*:\s*""'
"""Marks of what another provider thought or found, in a client's history: Anthropic would refuse them."""

ABSENT = Raw()


def given(raw: Raw) -> Raw:
    """`raw`; ABSENT where it is null."""
    return ABSENT if raw is not ABSENT and bytes(raw) == b"null" else raw


class CacheControl(Struct, tag="ephemeral", omit_defaults=True, frozen=True):
    ttl: str | None = None


# -- sources -----------------------------------------------------------------------------------------------------


class Base64Source(Struct, tag="base64"):
    media_type: str
    data: str


class UrlSource(Struct, tag="url"):
    url: str


class FileIdSource(Struct, tag="file"):
    file_id: str


class TextSource(Struct, tag="text"):
    """Of a document: plain text."""

    data: str
    media_type: str = "text/plain"


class ContentSource(Struct, tag="content"):
    """Of a document: blocks."""

    content: Raw


InputSource = Base64Source | UrlSource | FileIdSource | TextSource | ContentSource


# -- blocks ------------------------------------------------------------------------------------------------------


class TextBlock(Struct, tag="text", omit_defaults=True):
    text: str
    cache_control: CacheControl | None = None
    citations: Raw = ABSENT


class ImageBlock(Struct, tag="image", omit_defaults=True):
    source: Base64Source | UrlSource | FileIdSource
    cache_control: CacheControl | None = None


class DocumentBlock(Struct, tag="document", omit_defaults=True):
    source: InputSource
    title: str | None = None
    context: str | None = None
    citations: Raw = ABSENT
    cache_control: CacheControl | None = None


class ThinkingBlock(Struct, tag="thinking"):
    thinking: str
    signature: str = ""


class RedactedThinkingBlock(Struct, tag="redacted_thinking"):
    data: str


class ToolUseBlock(Struct, tag="tool_use", omit_defaults=True):
    id: str
    name: str
    input: Raw
    cache_control: CacheControl | None = None
    caller: Raw = ABSENT


class ToolResultBlock(Struct, tag="tool_result", omit_defaults=True):
    tool_use_id: str
    content: Raw = ABSENT
    is_error: bool | None = None
    cache_control: CacheControl | None = None


class Turn(Struct):
    """An entry of `messages`: `content` is text or a list of blocks."""

    role: str
    content: Raw


# -- settings ----------------------------------------------------------------------------------------------------


class ToolParam(Struct, omit_defaults=True):
    """A tool of the client's (type `custom`, or none)."""

    name: str
    description: str | None = None
    input_schema: Raw = ABSENT
    strict: bool | None = None
    cache_control: CacheControl | None = None
    type: str | None = None
    defer_loading: bool | None = None
    eager_input_streaming: bool | None = None
    allowed_callers: Raw = ABSENT
    input_examples: Raw = ABSENT


class ToolChoiceParam(Struct, omit_defaults=True):
    type: str = ""
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class ThinkingConfig(Struct, omit_defaults=True):
    type: str = ""
    budget_tokens: int | None = None
    display: str | None = None
    block_binding: Raw = ABSENT


class OutputFormat(Struct, tag="json_schema"):
    schema: Raw


class OutputConfig(Struct, omit_defaults=True):
    effort: str | None = None
    format: OutputFormat | None = None
    task_budget: Raw = ABSENT


class Metadata(Struct, omit_defaults=True):
    user_id: str | None = None


class Body(Struct, omit_defaults=True):
    """A request as we write it: `messages`, `system` and `tools` are made of the structs above, or raw."""

    model: str
    messages: list[Any]
    max_tokens: int | None = None
    system: list[TextBlock] | None = None
    tools: list[Any] | None = None
    tool_choice: ToolChoiceParam | None = None
    thinking: ThinkingConfig | None = None
    output_config: OutputConfig | None = None
    stop_sequences: list[str] | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    metadata: Metadata | None = None
    cache_control: Raw = ABSENT
    container: Raw = ABSENT
    context_management: Raw = ABSENT
    mcp_servers: Raw = ABSENT
    service_tier: Raw = ABSENT
    inference_geo: Raw = ABSENT
    speed: Raw = ABSENT
    compaction: Raw = ABSENT
    fallbacks: Raw = ABSENT
    diagnostics: Raw = ABSENT
    stream: bool | None = None


# -- answers -----------------------------------------------------------------------------------------------------


_COUNTS = ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


def read_usage(*usages: object) -> Usage | None:
    """Usage objects in the order they came, whatever is in them: of each count the last one said.  None for none.

    Anthropic's `input_tokens` leaves out what the cache read or wrote.  A reply that is only a compaction counts
    nothing by itself: what it has cost is then the sum of its `iterations`.
    """
    said: dict[str, int] = {}
    for usage in usages:
        if isinstance(usage, dict):
            iterations = usage.get("iterations")
            if isinstance(iterations, list) and not any(_is_count(usage.get(name)) and usage[name] for name in _COUNTS):
                usage = _sum(iterations)
            said.update({name: usage[name] for name in _COUNTS if _is_count(usage.get(name))})
            details = usage.get("output_tokens_details")
            if isinstance(details, dict) and _is_count(details.get("thinking_tokens")):
                said["thinking"] = details["thinking_tokens"]
    if not any(said.values()):
        return None
    output = said.get("output_tokens", 0)
    read = said.get("cache_read_input_tokens", 0)
    written = said.get("cache_creation_input_tokens", 0)
    return Usage(
        said.get("input_tokens", 0) + read + written,
        output,
        cached_tokens=read,
        reasoning_tokens=min(said.get("thinking", 0), output),
        cache_write_tokens=written,
    )


def _sum(iterations: list[Any]) -> dict[str, int]:
    counted = [one for one in iterations if isinstance(one, dict)]
    return {name: sum(one[name] for one in counted if _is_count(one.get(name))) for name in _COUNTS}


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= TOKENS_MAX
