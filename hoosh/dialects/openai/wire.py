"""What travels in OpenAI's language, as far as a relay must look at it, and the words both directions share.

The structs name only what hoosh acts upon; msgspec checks the syntax of the rest and skips it without building it.
Their fields are `Any` where vendors disagree on the type: a count that is a string must not end a stream.

Source: wire notes 2.1, 2.4 to 2.14 and 2.17; `openai-openapi.trimmed.json` for the names.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Raw, Struct

from hoosh.dialects.contract import ErrorFacts
from hoosh.dialects.loose_json import TOKENS_MAX, encode_safely, read_count
from hoosh.values import Usage

__all__ = ["CHAT_PATH", "COMPLETION_PATH", "DONE", "EMBEDDING_PATH", "Choice", "Chunk", "PlainReply", "Reply"]
__all__ += ["PlainUsage", "error_json", "lenient_usage", "plain_usage", "read_usage"]

CHAT_PATH = "/v1/chat/completions"
COMPLETION_PATH = "/v1/completions"
EMBEDDING_PATH = "/v1/embeddings"

DONE = b"data: [DONE]\n\n"
"""The terminator of a stream: each side writes its own."""


class Choice(Struct, gc=False):
    """A choice of a chunk or of a whole reply."""

    index: int = 0
    finish_reason: Any = None


class Chunk(Struct, gc=False):
    """One event of a stream, once content has been seen."""

    choices: list[Choice] | None = None
    usage: Any = None
    error: Any = None
    x_groq: Any = None


Count = Annotated[int, Meta(ge=0, le=TOKENS_MAX)]


class Details(Struct, gc=False):
    """What a usage object says more exactly."""

    cached_tokens: Count = 0
    reasoning_tokens: Count = 0
    audio_tokens: Count = 0
    cache_write_tokens: Count = 0


NO_DETAILS = Details()


class PlainUsage(Struct, gc=False):
    """A usage object as OpenAI documents it."""

    prompt_tokens: Count = 0
    completion_tokens: Count = 0
    total_tokens: Count = 0
    prompt_tokens_details: Details | None = None
    completion_tokens_details: Details | None = None
    prompt_cache_hit_tokens: Count = 0


class PlainReply(Struct, gc=False):
    """A whole answer as OpenAI documents it: most are.  `data` is not looked into: embeddings are long."""

    choices: list[Choice] | None = None
    data: list[Raw] | None = None
    model: str | None = None
    usage: PlainUsage | None = None
    error: Any = None


class Reply(Struct):
    """A whole answer, whatever the types of its fields: chat, completion or embeddings."""

    choices: Any = None
    data: Any = None
    model: Any = None
    usage: Any = None
    error: Any = None
    object: Any = None


def error_json(facts: ErrorFacts) -> bytes:
    """The error body: all four keys, null where there is nothing to say."""
    error: dict[str, Any] = {"message": facts.message, "type": facts.kind, "param": facts.param, "code": facts.code}
    return encode_safely({"error": error})


def plain_usage(usage: PlainUsage) -> Usage | None:
    """`usage` in our terms; None when it counts nothing.

    `total_tokens` has the last word where it says more than the sum: xAI leaves reasoning out of
    `completion_tokens`, Google's OpenAI surface too and without a count of its own, Mistral leaves audio out of
    `prompt_tokens`.
    """
    prompt, completion = usage.prompt_tokens, usage.completion_tokens
    details = usage.prompt_tokens_details or NO_DETAILS
    cached = details.cached_tokens or usage.prompt_cache_hit_tokens
    reply_details = usage.completion_tokens_details or NO_DETAILS
    reasoning = reply_details.reasoning_tokens
    unexplained = usage.total_tokens - prompt - completion
    if unexplained > 0:
        if unexplained in (details.audio_tokens, cached) and unexplained != reasoning:
            prompt += unexplained
        else:
            completion += unexplained
            reasoning = reasoning or unexplained
    if not prompt and not completion:
        return None  # LocalAI once sent zeros on each chunk
    return Usage(
        prompt,
        completion,
        min(cached, prompt),
        min(reasoning, completion),
        min(details.cache_write_tokens, prompt),
        min(details.audio_tokens, prompt),
        min(reply_details.audio_tokens, completion),
    )


def read_usage(usage: object) -> Usage | None:
    """A vendor's usage object, whatever the types in it, in our terms; None when it counts nothing."""
    counts = lenient_usage(usage)
    return None if counts is None else plain_usage(counts)


def lenient_usage(usage: object) -> PlainUsage | None:
    """What can be counted in a vendor's usage object, whatever the types in it."""
    if not isinstance(usage, dict):
        return None
    return PlainUsage(
        prompt_tokens=_count(usage, "prompt_tokens"),
        completion_tokens=_count(usage, "completion_tokens"),
        total_tokens=_count(usage, "total_tokens"),
        prompt_tokens_details=_details(usage.get("prompt_tokens_details")),
        completion_tokens_details=_details(usage.get("completion_tokens_details")),
        prompt_cache_hit_tokens=_count(usage, "prompt_cache_hit_tokens"),
    )


def _details(details: object) -> Details:
    return Details(*(_count(details, name) for name in Details.__struct_fields__))


def _count(counts: object, name: str) -> int:
    return read_count(counts.get(name)) if isinstance(counts, dict) else 0
