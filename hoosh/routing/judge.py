"""An upstream has failed: what does that say of asking again?

    AGAIN        it may do better in a moment: too many requests, overloaded, starting up
    ONCE_MORE    it may do better at once: the connection broke, an error of its own
    ELSEWHERE    not here again for this request: silent, unreachable, a key refused, a quota used up, no such model,
                 or it says that asking again will not help
    LARGER       the prompt is too long for it: another with a larger context may take it
    NOBODY       the request itself is at fault: no other would do better, or should be asked to

An error is judged by its status.  One that came inside a 200 has none: then by the vendor's word for its kind.  Where
vendors put what is about us under a status that is about the request (a bad key, an unknown model and an empty purse
are a 400 at some), by their words.  Only what is surely the request's fault is NOBODY's: being asked twice costs less
than an answer that is not given.

Pure.  Source: the catalogue of faults, S01 to S16; wire notes 2.1 to 2.17 (`x-should-retry`: OpenAI, Anthropic); RFC
9110, section 15; the codes as `hoosh/dialects/verdicts.py` has normalised them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum

from hoosh.errors import UpstreamBroke, UpstreamError, UpstreamTimeout

__all__ = ["Verdict", "is_throttled", "judge"]


class Verdict(StrEnum):
    AGAIN = "again"
    ONCE_MORE = "once_more"
    ELSEWHERE = "elsewhere"
    LARGER = "larger"
    NOBODY = "nobody"


CONTEXT = "context_length_exceeded"
POLICY = "content_policy_violation"
UNREACHABLE = "connect_failed"

THROTTLED = frozenset({408, 409, 425, 429})
"""Healthy, but not now."""

BY_STATUS: Mapping[int, Verdict] = {
    **dict.fromkeys(THROTTLED, Verdict.AGAIN),
    498: Verdict.AGAIN,  # Groq: no room in the flex tier
    502: Verdict.AGAIN,
    503: Verdict.AGAIN,
    504: Verdict.AGAIN,
    **dict.fromkeys(range(521, 525), Verdict.AGAIN),  # Cloudflare: it cannot reach them
    529: Verdict.AGAIN,  # Anthropic: overloaded
    401: Verdict.ELSEWHERE,
    402: Verdict.ELSEWHERE,
    403: Verdict.ELSEWHERE,
    404: Verdict.ELSEWHERE,
    405: Verdict.ELSEWHERE,
    407: Verdict.ELSEWHERE,
    410: Verdict.ELSEWHERE,  # a model that is no longer there
    421: Verdict.ELSEWHERE,
    424: Verdict.ELSEWHERE,
    451: Verdict.ELSEWHERE,  # not from this country
    501: Verdict.ELSEWHERE,
    505: Verdict.ELSEWHERE,
    525: Verdict.ELSEWHERE,  # Cloudflare: their TLS
    526: Verdict.ELSEWHERE,
}
"""Other 4xx are NOBODY's.  Other 5xx are as 500 is: RFC 9110, section 15."""

STATUS_OF_WORD: Mapping[str, int] = {
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "resource_exhausted": 429,
    "too_many_requests": 429,
    "overloaded_error": 529,
    "overloaded": 529,
    "unavailable": 503,
    "unavailable_error": 503,
    "service_unavailable": 503,
    "insufficient_system_resource": 503,
    "timeout_error": 504,
    "deadline_exceeded": 504,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "unauthenticated": 401,
    "billing_error": 402,
    "permission_error": 403,
    "permission_denied": 403,
    "not_found_error": 404,
    "not_found": 404,
    "model_not_found": 404,
    "unimplemented": 501,
    "not_supported_error": 501,
    "request_too_large": 413,
    "invalid_request_error": 400,
    "invalid_argument": 400,
    "invalid_prompt": 400,
}
"""What a vendor's word for the kind of an error means where there is no status.  Any other is as 500 is."""

ABOUT_US = frozenset(
    {
        "access_terminated_error",
        "billing_hard_limit_reached",
        "billing_not_active",
        "exceeded_current_quota_error",
        "insufficient_balance",
        "insufficient_quota",
        "invalid_api_key",
        "invalid_model",
        "model_decommissioned",
        "model_not_available",
        "model_not_found",
    }
)
"""Codes and kinds that speak of our account, or of what is to be had there, whatever their status."""

ABOUT_US_STATUSES = frozenset({400, 422})
_about_us = re.compile(
    r"(?:incorrect|invalid|expired) api key|api key (?:is )?(?:not valid|invalid|expired)"  # xAI, Gemini
    r"|credit balance is too low|insufficient (?:credit|balance|fund|quota)"  # Anthropic
    r"|\bmodels?\b.{0,120}\b(?:not found|not exist|no longer|not available|decommissioned|not a valid|unknown)\b"
    r"|\b(?:invalid|unknown|no such|not a valid|unsupported) model\b"  # Mistral, OpenRouter, DeepSeek, xAI
)
WORDS_MAX = 2000


def judge(error: UpstreamError) -> Verdict:
    """What to do after `error`, as far as it depends on the error alone."""
    verdict = _judge(error)
    if error.is_final and verdict in (Verdict.AGAIN, Verdict.ONCE_MORE):
        return Verdict.ELSEWHERE
    return verdict


def _judge(error: UpstreamError) -> Verdict:
    if isinstance(error, UpstreamTimeout):
        return Verdict.ELSEWHERE  # who was silent is asked exactly once
    code = (error.code or "").lower()
    if code == CONTEXT:
        return Verdict.LARGER
    if code == POLICY:
        return Verdict.NOBODY
    if isinstance(error, UpstreamBroke) and error.status is None:
        return Verdict.ELSEWHERE if code == UNREACHABLE else Verdict.ONCE_MORE
    if _is_about_us(error, code):
        return Verdict.ELSEWHERE
    return _by_status(error, _meant_status(error))


def is_throttled(error: UpstreamError) -> bool:
    """It answers, and would answer this one a little later."""
    return _meant_status(error) in THROTTLED


def _is_about_us(error: UpstreamError, code: str) -> bool:
    if code in ABOUT_US or (error.kind or "").lower() in ABOUT_US:
        return True
    if error.status == 413:  # Groq: more tokens than the account gets in a minute
        return code == "rate_limit_exceeded"
    return error.status in ABOUT_US_STATUSES and _about_us.search(str(error)[:WORDS_MAX].lower()) is not None


def _by_status(error: UpstreamError, status: int) -> Verdict:
    if status == 404 and error.param not in (None, "model"):
        return Verdict.NOBODY  # a file or an answer that the request names
    verdict = BY_STATUS.get(status)
    if verdict is None:
        verdict = Verdict.NOBODY if 400 <= status < 500 else Verdict.ONCE_MORE
    return verdict


def _meant_status(error: UpstreamError) -> int:
    if error.status is not None:
        return error.status
    for word in (error.code, error.kind):
        status = STATUS_OF_WORD.get((word or "").lower())
        if status is not None:
            return status
    return 500
