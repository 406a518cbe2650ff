"""What an error says about the upstream it came from, if it says anything.

    Ailment       what was seen                               whose it is          what follows
    NONE          a verdict on the request; a deadline of     -                    nothing
                  the client's; a request too long or too bad
    FAILED        5xx, a cut answer, silence                  account and model    counts
    BUSY          503, 529                                    account and model    counts, and "not before"
    LIMITED       429                                         account and model    "not before" only
    BARRED        403 that is about the model                 account and model    counts, the slow clock
    UNREACHABLE   no connection, TLS                          the whole account    counts
    DENIED        401, 403, a refused key                     the whole account    at once, the slow clock
    SPENT         402, a quota or credit that is used up      the whole account    at once, the slow clock

Clients choose part of what an upstream repeats in its errors, and a closed account harms everybody.  So words in a
message count only where they begin it, and a 403 without any code (a firewall that dislikes a body) closes no account.

Sources: the errors of `dialects/faults.py`; the vendors' error pages (OpenAI, Anthropic, OpenRouter, xAI, DeepSeek).
"""

from __future__ import annotations

import re
from enum import StrEnum

from hoosh.errors import ConnectFailed, HooshError, TransportError, TransportTimeout, UpstreamError, UpstreamTimeout
from hoosh.errors import UpstreamBroke as Broke

__all__ = ["OF_THE_ACCOUNT", "Ailment", "diagnose", "word_of"]


class Ailment(StrEnum):
    """What is wrong with an upstream; the table is in the module's docstring."""

    NONE = "none"
    FAILED = "failed"
    BUSY = "busy"
    LIMITED = "limited"
    BARRED = "barred"
    UNREACHABLE = "unreachable"
    DENIED = "denied"
    SPENT = "spent"


OF_THE_ACCOUNT = frozenset({Ailment.UNREACHABLE, Ailment.DENIED, Ailment.SPENT})
"""Not of one of its models."""

VERDICTS = frozenset({"context_length_exceeded", "content_policy_violation", "content_filter", "moderation_flagged"})
"""On the request, whatever the status: a policy is enforced with 403 as well, a context measured with 500."""
SPENT_CODES = frozenset(
    {"insufficient_quota", "billing_error", "billing_hard_limit_reached", "billing_not_active", "insufficient_balance"}
)
DENIED_CODES = frozenset({"invalid_api_key", "authentication_error", "account_deactivated"})
STATUS_OF_WORD = {
    "invalid_request_error": 400,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "resource_exhausted": 429,
    "overloaded_error": 529,
    "unavailable": 503,
}
"""What a code or type means where no status came with it: inside a stream that began well."""

_key_refused = re.compile(
    r"(?:incorrect|invalid|expired|revoked) api[ _-]?key|"
    r"(?:the )?api[ _-]?key (?:is |was |has )?(?:been )?(?:not valid|invalid|incorrect|expired|revoked)",
    re.IGNORECASE,
)
"""xAI says it with 400."""
_spent = re.compile(r"your credit balance is too low|insufficient balance", re.IGNORECASE)
"""Anthropic says it with 400."""

SILENCES = frozenset({"first_byte", "first_token", "idle", "attempt"})
"""Deadlines that an upstream misses.  That a whole answer took long (`total`) is no illness, and a client's own
deadline must not harm others."""


def diagnose(error: HooshError) -> Ailment:
    """What `error` says about the upstream.  What is no error of an upstream or a connection says nothing."""
    match error:
        case UpstreamTimeout() | TransportTimeout():
            if error.phase == "connect":
                return Ailment.UNREACHABLE
            return Ailment.FAILED if error.phase in SILENCES else Ailment.NONE
        case ConnectFailed() | Broke(code="connect_failed"):
            return Ailment.UNREACHABLE
        case TransportError():
            return Ailment.FAILED
        case UpstreamError():
            return _of_answer(error)
        case _:
            return Ailment.NONE


def word_of(error: HooshError) -> str:
    """A short word for pages and logs, nothing of the upstream's own text: `503`, `first_token`, `unreachable`."""
    if isinstance(error, UpstreamError) and error.status is not None:
        return str(error.status)
    ailment = diagnose(error)
    if isinstance(error, UpstreamTimeout | TransportTimeout) and ailment is not Ailment.UNREACHABLE:
        return error.phase
    return ailment.value


def _of_answer(error: UpstreamError) -> Ailment:
    """Of what an upstream has said: by its words where they are plain, else by the status."""
    words = {word.lower() for word in (error.code, error.kind) if word}
    if words & VERDICTS:
        return Ailment.NONE
    if words & SPENT_CODES:
        return Ailment.SPENT
    if words & DENIED_CODES:
        return Ailment.DENIED
    status = error.status
    if status is None:
        status = next((STATUS_OF_WORD[word] for word in sorted(words) if word in STATUS_OF_WORD), 500)
    return _of_status(status, error, is_explained=bool(words))


def _of_status(status: int, error: UpstreamError, *, is_explained: bool) -> Ailment:
    match status:
        case 400:
            return _of_beginning(str(error))
        case 401 | 407:
            return Ailment.DENIED
        case 402:
            return Ailment.SPENT
        case 403:
            return Ailment.DENIED if is_explained and not _is_about_model(error) else Ailment.BARRED
        case 429:
            return Ailment.LIMITED
        case 503 | 529:
            return Ailment.BUSY
        case _:
            return Ailment.FAILED if status >= 500 else Ailment.NONE


def _of_beginning(message: str) -> Ailment:
    if _key_refused.match(message):
        return Ailment.DENIED
    return Ailment.SPENT if _spent.match(message) else Ailment.NONE


def _is_about_model(error: UpstreamError) -> bool:
    return error.param == "model" or "model" in f"{error.code} {error}".lower()
