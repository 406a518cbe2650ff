"""Google's errors: `{"error": {"code", "message", "status", "details"}}`, sometimes alone in an array.

Two of its 400s speak of us and not of the client's request, and become what they are elsewhere: a key that is not
valid (401), and a project that may not ask from here (403: FAILED_PRECONDITION, "User location is not supported").

Source: wire notes 2.3; ai.google.dev/gemini-api/docs/troubleshooting; google.rpc.ErrorInfo.
"""

from __future__ import annotations

from typing import Any

import msgspec

from hoosh.dialects.faults import decode_error as decode_any_error
from hoosh.dialects.faults import error_in
from hoosh.dialects.gemini.wire import loads
from hoosh.errors import UpstreamError

__all__ = ["decode_error", "error_of"]

KEY_REASONS = frozenset({"API_KEY_INVALID", "API_KEY_EXPIRED"})


def decode_error(status: int, retry_after: str | None, body: bytes, *, provider: str, now_s: float) -> UpstreamError:
    """An answer with an error status.  Never raises."""
    answer = loads(body)
    if isinstance(answer, list) and answer and isinstance(answer[0], dict):
        answer = answer[0]
        body = msgspec.json.encode(answer)
    error = decode_any_error(status, retry_after, body, provider=provider, now_s=now_s)
    return _about_us(error, answer)


def error_of(answer: object, *, provider: str) -> UpstreamError:
    """The error inside a 200."""
    return _about_us(error_in(answer, provider=provider), answer)


def _about_us(error: UpstreamError, answer: object) -> UpstreamError:
    inner = answer.get("error") if isinstance(answer, dict) else None
    if error.status != 400 or not isinstance(inner, dict):
        return error
    if _reasons(inner) & KEY_REASONS:
        error.status, error.code = 401, "invalid_api_key"
    elif inner.get("status") == "FAILED_PRECONDITION":
        error.status = 403
    return error


def _reasons(error: dict[str, Any]) -> set[str]:
    details = error.get("details")
    return {
        reason
        for detail in (details if isinstance(details, list) else ())
        if isinstance(detail, dict) and isinstance(reason := detail.get("reason"), str)
    }
