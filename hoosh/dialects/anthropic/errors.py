"""Anthropic's errors: read from an upstream, written for a client.

    {"type": "error", "error": {"type", "message"}, "request_id"}

Source: wire notes 2.2; Anthropic's page on errors.
"""

from __future__ import annotations

from hoosh.dialects.contract import ErrorFacts
from hoosh.dialects.faults import error_in
from hoosh.dialects.loose_json import encode_safely
from hoosh.errors import UpstreamError

__all__ = ["THREAD_UNSUPPORTED", "error_json", "error_of", "status_for"]

THREAD_UNSUPPORTED = "thread_unsupported_request"
"""The `error_code` that tells Anthropic's SDK to go on without a thread."""

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "invalid_request_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}

STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""What the API would have answered, had the error come before the stream."""

OVERLOADED = 529


def error_of(answer: object, *, provider: str) -> UpstreamError:
    """The error in a stream, or in an answer whose status was 200."""
    inner = answer.get("error") if isinstance(answer, dict) else None
    kind = inner.get("type") if isinstance(inner, dict) else None
    return error_in(answer, provider=provider, status=STATUSES.get(kind) if isinstance(kind, str) else None)


def status_for(status: int) -> int:
    return OVERLOADED if status == 503 else status


def error_json(facts: ErrorFacts) -> bytes:
    kind = TYPES.get(facts.status) or ("invalid_request_error" if facts.status < 500 else "api_error")
    if facts.kind in STATUSES and facts.kind != "invalid_request_error":  # which is OpenAI's word for far more
        kind = facts.kind
    error: dict[str, object] = {"type": kind, "message": facts.message}
    if facts.code == THREAD_UNSUPPORTED:
        error["details"] = {"error_code": facts.code, "unsupported": ["thread"]}
    return encode_safely({"type": "error", "error": error, "request_id": facts.request_id or None})
