"""What travels in OpenAI's language, as far as a relay must look at it, and the words both directions share.

The structs name only what hoosh acts upon; msgspec checks the syntax of the rest and skips it without building it.
Their fields are `Any` where vendors disagree on the type: a count that is a string must not end a stream.

Source: wire notes 2.1, 2.4 to 2.14 and 2.17; `openai-openapi.trimmed.json` for the names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from hoosh.values import Usage

__all__ = ["CHAT_PATH", "COMPLETION_PATH", "DONE", "EMBEDDING_PATH", "Choice", "Chunk", "Reply", "read_usage"]

CHAT_PATH = "/v1/chat/completions"
COMPLETION_PATH = "/v1/completions"
EMBEDDING_PATH = "/v1/embeddings"

DONE = b"data: [DONE]\n\n"
"""The terminator of a stream: each side writes its own."""

TOKENS_MAX = 2**53
"""A count above this is not a count."""


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


class Reply(Struct):
    """A whole answer: chat, completion or embeddings."""

    choices: Any = None
    data: Any = None
    model: Any = None
    usage: Any = None
    error: Any = None
    object: Any = None


def read_usage(usage: object) -> Usage | None:
    """A vendor's usage object in our terms; None when it counts nothing.

    `total_tokens` has the last word where it says more than the sum: xAI leaves reasoning out of
    `completion_tokens`, Mistral leaves audio out of `prompt_tokens`.
    """
    if not isinstance(usage, Mapping):
        return None
    prompt, completion = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    prompt_details, completion_details = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    cached = _count(prompt_details, "cached_tokens") or _count(usage, "prompt_cache_hit_tokens")
    reasoning = _count(completion_details, "reasoning_tokens")
    unexplained = _count(usage, "total_tokens") - prompt - completion
    if unexplained > 0:
        if unexplained == reasoning:
            completion += reasoning
        elif unexplained == _count(prompt_details, "audio_tokens"):
            prompt += unexplained
    if not prompt and not completion:
        return None  # LocalAI once sent zeros on each chunk
    return Usage(prompt, completion, min(cached, prompt), min(reasoning, completion))


def _count(counts: object, name: str) -> int:
    value = counts.get(name) if isinstance(counts, Mapping) else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value <= TOKENS_MAX else 0
