"""OpenRouter's `reasoning_details`, in which a thought travels with its signature.

    {"type": "reasoning.text", "text", "signature", "format", "index"}
    {"type": "reasoning.summary", "summary", "format", "index"}
    {"type": "reasoning.encrypted", "data", "id", "format", "index"}

`format` says whose signature it is; our own word for that is a dialect's name.
Source: OpenRouter's documentation of reasoning tokens; wire notes 2.8.
"""

from __future__ import annotations

__all__ = ["format_of", "origin_of"]

_FORMATS = {
    "anthropic": "anthropic-claude-v1",
    "gemini": "google-gemini-v1",
    "openai": "openai-responses-v1",
    "xai": "xai-responses-v1",
}
_ORIGINS = {format_: origin for origin, format_ in _FORMATS.items()}


def origin_of(format_: str) -> str:
    """Our word for whoever signed; one that we have no word for is its own."""
    return "" if format_ == "unknown" else _ORIGINS.get(format_, format_)


def format_of(origin: str) -> str:
    return _FORMATS.get(origin, origin)
